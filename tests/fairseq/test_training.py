"""fairseq-train: criteria, optimizers, resuming."""

import re

import pytest
import torch
from omegaconf import OmegaConf
from support import generate, lines_of, train

from fairseq_bahdanau.guards import bfloat16


def parameters(path):
    return torch.load(path)["model"]


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "flags",
    [
        ["--optimizer", "adam", "--lr", "0.005", "--dropout", "0.2"],
        ["--optimizer", "adadelta", "--lr", "1", "--adadelta-rho", "0.95", "--update-freq", "2", "--dropout", "0.2"],
        ["--eval-bleu", "--eval-bleu-detok", "space", "--eval-bleu-args", '{"beam": 2, "max_len_b": 10}',
         "--best-checkpoint-metric", "bleu", "--maximize-best-checkpoint-metric"],
    ],
    ids=["adam", "adadelta", "eval-bleu"],
)  # fmt: skip
def test_stopped_and_resumed_training_equals_uninterrupted(flags, data, tmp_path):
    flags = [*flags, "--update-epoch-batch-itr", "True", "--no-epoch-checkpoints"]
    printed = train(data, tmp_path / "whole", *flags, "--max-epoch", "2")
    train(data, tmp_path / "parts", *flags, "--max-epoch", "1")
    resumed = train(data, tmp_path / "parts", *flags, "--max-epoch", "2")
    assert "Loaded checkpoint" in resumed
    paths = [tmp_path / name / "checkpoint_last.pt" for name in ("whole", "parts")]
    assert same(*map(parameters, paths))
    assert ("| bleu " in printed) == ("--eval-bleu" in flags)
    assert len(lines_of("H", generate(data, paths[0]))) == 21


def test_a_log_file_has_every_line_once(data, tmp_path):
    """A line of --log-file stands there as often as epochs and updates report: fairseq's own repeats them."""
    log = tmp_path / "train.log"
    flags = ("--no-save", "--log-format", "simple", "--log-interval", "1", "--log-file", log)
    train(data, tmp_path, *flags, "--max-epoch", "3")
    train(data, tmp_path, *flags, "--max-epoch", "1")  # a training that goes on appends
    epochs = re.findall(r"^epoch (\d+) \|", log.read_text(), flags=re.MULTILINE)
    assert epochs == [number for last in (3, 1) for epoch in range(1, last + 1) for number in (f"{epoch:03}",) * 2]
    updates = re.findall(r"^epoch \d+: .* num_updates=(\d+)", log.read_text(), flags=re.MULTILINE)
    assert updates[:3] == ["1", "2", "3"] and updates.count("3") == 2


def test_alignment_criterion_trains_the_attention(data, tmp_path):
    flags = (
        "--criterion",
        "label_smoothed_cross_entropy_with_alignment",
        "--load-alignments",
        "--alignment-lambda",
        "1",
    )
    printed = train(data, tmp_path, *flags, "--max-epoch", "14", "--no-save")
    losses = [float(loss) for loss in re.findall(r"\| train \| .*?alignment_loss ([\d.]+)", printed)]
    assert len(losses) == 14 and losses[-1] < 0.5 * losses[0]


def test_adaptive_softmax(data, tmp_path):
    flags = ("--criterion", "adaptive_loss", "--adaptive-softmax-cutoff", "6,9", "--ddp-backend", "legacy_ddp")
    printed = train(data, tmp_path, *flags, "--max-epoch", "6", "--no-epoch-checkpoints")
    losses = [float(loss) for loss in re.findall(r"\| train \| epoch \d+ \| loss ([\d.]+)", printed)]
    assert losses[-1] < 0.8 * losses[0]
    assert "decoder.output_projection.weight" not in parameters(tmp_path / "checkpoint_last.pt")
    assert len(lines_of("H", generate(data, tmp_path / "checkpoint_last.pt"))) == 21


@pytest.mark.parametrize("flags", [["--bf16"], ["--memory-efficient-bf16", "--recurrence", "reference"]])
def test_bf16_trains_as_float32_does(flags, data, tmp_path):
    """Alone, fairseq takes it for a TPU, and fails."""
    losses = []
    for name, precision in (("fp32", []), ("bf16", flags)):
        printed = train(data, tmp_path / name, "--max-epoch", "3", "--no-epoch-checkpoints", *precision)
        losses.append([float(loss) for loss in re.findall(r"\| train \| epoch \d+ \| loss ([\d.]+)", printed)])
    assert len(losses[0]) == 3 and losses[1] == pytest.approx(losses[0], rel=0.01)
    weight = parameters(tmp_path / "bf16" / "checkpoint_last.pt")["decoder.output_projection.weight"]
    assert torch.equal(weight, weight.bfloat16().float())
    assert len(lines_of("H", generate(data, tmp_path / "bf16" / "checkpoint_last.pt"))) == 21


def test_where_a_tpu_can_be_used_bf16_means_one(monkeypatch):
    """The package that fairseq needs for one is there."""
    seen = []
    call = bfloat16.without_tpu(lambda cfg, main: seen.append((cfg.common.tpu, cfg.distributed_training.tpu)))
    for there in (False, True):
        monkeypatch.setattr(bfloat16, "meant_for_a_tpu", lambda there=there: there)
        for precision in ("bf16", "fp16"):
            common = {"bf16": precision == "bf16", "tpu": True}
            call(OmegaConf.create({"common": common, "distributed_training": {"tpu": "${common.tpu}"}}), None)
    assert seen == [(False, False), (True, True), (True, True), (True, True)]


def test_memory_efficient_fp16(data, tmp_path):
    printed = train(data, tmp_path, "--memory-efficient-fp16", "--max-update", "6", "--no-epoch-checkpoints")
    losses = re.findall(r"\| train \| epoch \d+ \| loss ([\d.]+|nan|inf)", printed)
    assert losses and all(0 < float(loss) < 10 for loss in losses)
