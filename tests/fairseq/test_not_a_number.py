"""A NaN in one batch stops fairseq-train, which says in which layer it is; no checkpoint holds it."""

import logging

import pytest
import torch
from fairseq.nan_detector import NanDetector
from fairseq_cli import train as fairseq_train
from support import PLUGIN, SOURCES, TARGETS, TINY_FLAGS, build_model, members, pad, shake

from fairseq_bahdanau.decoder import BahdanauDecoder

NAN = float("nan")
SPOILT = 2  # updates before the batch that has the NaN


def spoil(monkeypatch, where):
    """Puts a NaN into the logits of one batch in training, or into their gradient."""
    forward, batches = BahdanauDecoder.forward, [0]

    def spoilt(self, *args, **keywords):
        logits, extra = forward(self, *args, **keywords)
        batches[0] += self.training
        if self.training and batches[0] > SPOILT:  # the detector repeats the batch
            if where == "gradient":
                logits.register_hook(lambda gradient: gradient * NAN)
            else:
                logits = logits + NAN
        return logits, extra

    monkeypatch.setattr(BahdanauDecoder, "forward", spoilt)


@pytest.mark.parametrize("where", ["logits", "gradient"])
@pytest.mark.parametrize(
    "criterion",
    [
        "label_smoothed_cross_entropy",
        "blockwise_label_smoothed_cross_entropy",
        "cross_entropy_summed",
    ],
)
def test_training_stops_and_names_the_layer(criterion, where, data, tmp_path, monkeypatch, caplog):
    if where == "gradient" and criterion.startswith("blockwise"):
        pytest.skip("its gradient is what the logits' memory holds; a NaN in the logits is one in the gradient")
    spoil(monkeypatch, where)
    flags = ("--criterion", criterion, "--max-update", "6", "--save-interval-updates", "1", "--disable-validation")
    words = ("fairseq-train", data, "--user-dir", PLUGIN, *TINY_FLAGS, "--save-dir", tmp_path, *flags)
    monkeypatch.setattr("sys.argv", [str(word) for word in words])
    with caplog.at_level(logging.WARNING, "fairseq.nan_detector"):
        with pytest.raises(FloatingPointError, match="gradients are Nan/Inf"):
            fairseq_train.cli_main()
    told = [record.getMessage() for record in caplog.records if record.name == "fairseq.nan_detector"]
    layer = "decoder" if where == "logits" else "decoder.output_projection"
    assert told and told[0].startswith(f"NaN detected in output of {layer}, shape: "), told
    written = sorted(path.name for path in tmp_path.glob("*.pt"))
    assert written == ["checkpoint_1_1.pt", "checkpoint_1_2.pt", "checkpoint_last.pt", "crash.pt"]
    for name in written:
        state = torch.load(tmp_path / name)
        assert all(parameter.isfinite().all() for parameter in state["model"].values()), name
    assert state["optimizer_history"][-1]["num_updates"] == SPOILT  # of crash.pt, the last: what was before the NaN


@members
def test_the_detector_finds_a_parameter_that_is_none(options, caplog):
    """In every member: fairseq's detector reports the layer, and leaves the model as it was."""
    model = shake(build_model(**options)).train()
    with torch.no_grad():
        model.decoder.readout.context_proj.weight[0, 0] = NAN
    with caplog.at_level(logging.WARNING, "fairseq.nan_detector"), NanDetector(model):
        logits, _ = model(pad(SOURCES, 1, True), None, pad(TARGETS, 1, False))
        logits.sum().backward()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told[0].startswith("NaN detected in output of decoder.readout.context_proj, "), told
    assert any(line.endswith("backward") for line in told)
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())
