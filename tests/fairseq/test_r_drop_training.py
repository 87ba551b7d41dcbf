"""fairseq-train with R-Drop: without dropout it is that of label-smoothed cross entropy; with it, the log says more."""

import logging
import re

import pytest
import torch
from fairseq_cli import train as fairseq_train
from support import PLUGIN, TINY_TRAINING

MODELS = {
    "ours": "--arch bigru_bahdanau_maxout --encoder-hidden-size 10 --decoder-hidden-size 14 --attention-dim 8 "
    "--maxout-dim 12",
    "lstm": "--arch lstm --encoder-hidden-size 10 --decoder-hidden-size 14 --decoder-out-embed-dim 12",
    "transformer": "--arch transformer --encoder-attention-heads 2 --decoder-attention-heads 2 "
    "--encoder-ffn-embed-dim 14 --decoder-ffn-embed-dim 14",
}


@pytest.fixture
def train_here(data, tmp_path, monkeypatch, caplog, own_logs):
    """A function that trains as fairseq-train does, in this process; returns the log and the parameters."""

    def run(arch, flags):
        sizes = f"{MODELS[arch]} --encoder-embed-dim 12 --decoder-embed-dim 12 --no-epoch-checkpoints --no-progress-bar"
        given = ("fairseq-train", data, "--user-dir", PLUGIN, *TINY_TRAINING, *sizes.split(), *flags.split())
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        monkeypatch.setattr("sys.argv", [str(word) for word in (*given, "--save-dir", folder)])
        caplog.clear()
        with caplog.at_level(logging.INFO):
            fairseq_train.cli_main()
        logged = [(record.name, record.getMessage()) for record in caplog.records if record.name in ("train", "valid")]
        return logged, torch.load(folder / "checkpoint_last.pt")["model"]

    return run


def numbers(kind, name, logged):
    """What an epoch's lines of the log say of a name."""
    found = [re.search(rf"\| {name} ([\d.]+)", text) for tag, text in logged if tag == kind]
    return [float(match[1]) for match in found if match]


@pytest.mark.parametrize(("arch", "average"), [("ours", "--sentence-avg"), ("lstm", ""), ("transformer", "")])
def test_training_without_dropout_is_that_of_label_smoothed_cross_entropy(arch, average, train_here):
    """By fairseq-train, several batches an update: the same log and the same parameters."""
    flags = f"--dropout 0 --optimizer nag --lr 0.05 --update-freq 2 --max-epoch 2 --label-smoothing 0.1 {average}"
    wanted, parameters = train_here(arch, f"{flags} --criterion label_smoothed_cross_entropy")
    found, ours = train_here(arch, f"{flags} --criterion r_drop_label_smoothed_cross_entropy")
    for kind, names in (("train", ("loss", "nll_loss", "ppl", "gnorm")), ("valid", ("loss", "nll_loss", "ppl"))):
        for name in names:
            expected = numbers(kind, name, wanted)
            assert len(expected) == 2, (kind, name, wanted)
            assert numbers(kind, name, found) == pytest.approx(expected, abs=0.002, rel=0.001), (kind, name)
    assert numbers("train", "r_drop", found) == [0, 0] and not numbers("train", "r_drop", wanted)
    for name, value in parameters.items():
        torch.testing.assert_close(ours[name], value, atol=1e-5, rtol=1e-4)


def test_the_log_has_the_divergence_of_training_alone(train_here):
    """A greater weight makes it smaller; a training in half precision has it too."""
    flags = "--criterion r_drop_label_smoothed_cross_entropy --dropout 0.3 --max-epoch 4 --r-drop-weight"
    loose, _ = train_here("ours", f"{flags} 0")
    tight, _ = train_here("ours", f"{flags} 50 --memory-efficient-fp16")
    assert all(len(numbers("train", "r_drop", log)) == 4 for log in (loose, tight))
    assert 0 < numbers("train", "r_drop", tight)[-1] < 0.7 * numbers("train", "r_drop", loose)[-1]
    assert not numbers("valid", "r_drop", loose) and len(numbers("valid", "loss", loose)) == 4
