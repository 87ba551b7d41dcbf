"""Checkpoints: what loads, what is refused, what an interruption leaves, and averaging."""

import os
from pathlib import Path

import pytest
import torch
from fairseq.checkpoint_utils import load_model_ensemble_and_task
from fairseq.file_io import PathManager
from omegaconf import OmegaConf
from support import members, run_command, shake

from fairseq_bahdanau.cli.average import average, select
from fairseq_bahdanau.guards.saving import copy_atomically
from fairseq_bahdanau.model import BahdanauModel


@members
def test_every_member_loads_from_its_checkpoint(options, data, checkpoint, tmp_path):
    saved = torch.load(checkpoint)
    (plain,), _, task = load_model_ensemble_and_task([str(checkpoint)], arg_overrides={"data": str(data)})
    if "decoder_hidden_size" in options:  # the inner product wants that of this checkpoint's annotations
        options = {**options, "decoder_hidden_size": 48}
    saved["cfg"]["model"].update(options)
    model = shake(BahdanauModel.build_model(OmegaConf.create(saved["cfg"]["model"]), task)).eval()
    saved["model"] = model.state_dict()
    torch.save(saved, tmp_path / "member.pt")
    (loaded,), _, _ = load_model_ensemble_and_task([str(tmp_path / "member.pt")], arg_overrides={"data": str(data)})
    batch = (torch.tensor([[5, 6, 2], [1, 7, 2]]), None, torch.tensor([[2, 5], [2, 8]]))
    assert torch.equal(loaded.eval()(*batch)[0], model(*batch)[0])
    if options:
        assert not torch.equal(plain.eval()(*batch)[0], model(*batch)[0])


class Surprise:
    """A class that no checkpoint has reason to hold."""


def save(path, **parameters):
    torch.save({"model": parameters, "extra_state": {"epoch": 3}}, path)
    return str(path)


@pytest.mark.skipif(not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"), reason="PyTorch before 2.6")
def test_a_checkpoint_with_any_other_class_is_refused(tmp_path):
    torch.save({"model": {}, "extra": Surprise()}, tmp_path / "bad.pt")
    with pytest.raises(Exception, match="Surprise"):
        torch.load(tmp_path / "bad.pt")
    torch.save({"model": {}, "extra": os.system}, tmp_path / "worse.pt")
    with pytest.raises(Exception, match="system"):
        torch.load(tmp_path / "worse.pt")


def test_the_last_checkpoint_is_never_half_written(tmp_path, monkeypatch):
    source, target = tmp_path / "checkpoint1.pt", tmp_path / "checkpoint_last.pt"
    source.write_bytes(b"new" * 1000)
    target.write_bytes(b"old")

    def interrupted(src, dst):
        Path(dst).write_bytes(b"ne")
        raise KeyboardInterrupt

    assert PathManager.copy is copy_atomically
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.copyfile", interrupted)
        PathManager.copy(str(source), str(target), overwrite=True)
    assert target.read_bytes() == b"old"
    assert PathManager.copy(str(source), str(target), overwrite=True)
    assert target.read_bytes() == source.read_bytes() and not list(tmp_path.glob("*.part"))


def test_average_is_the_mean(tmp_path):
    paths = [
        save(tmp_path / "a.pt", w=torch.tensor([1.0, 2.0]), h=torch.tensor([1.0]).half(), n=torch.tensor([4])),
        save(tmp_path / "b.pt", w=torch.tensor([3.0, -2.0]), h=torch.tensor([2.0]).half(), n=torch.tensor([4])),
        save(tmp_path / "c.pt", w=torch.tensor([5.0, 6.0]), h=torch.tensor([6.0]).half(), n=torch.tensor([4])),
    ]
    result = average(paths)
    assert result["model"]["w"].tolist() == [3, 2] and result["model"]["n"].tolist() == [4]
    assert result["model"]["h"].tolist() == [3] and result["model"]["h"].dtype == torch.float32
    assert result["extra_state"] == {"epoch": 3}


def test_average_refuses_other_parameters(tmp_path):
    paths = [save(tmp_path / "a.pt", w=torch.ones(2)), save(tmp_path / "b.pt", w=torch.ones(3))]
    with pytest.raises(ValueError, match=r"b\.pt has other parameters than .*a\.pt"):
        average(paths)


def test_select_takes_the_newest(tmp_path):
    for name in (
        "checkpoint1",
        "checkpoint2",
        "checkpoint10",
        "checkpoint_3_50",
        "checkpoint_3_100",
        "checkpoint_last",
    ):
        save(tmp_path / f"{name}.pt")
    folder = [str(tmp_path)]
    names = lambda paths: [Path(path).stem for path in paths]  # noqa: E731
    assert names(select(folder, 2, 0, 0)) == ["checkpoint10", "checkpoint2"]
    assert names(select(folder, 2, 0, 9)) == ["checkpoint2", "checkpoint1"]
    assert names(select(folder, 0, 1, 0)) == ["checkpoint_3_100"]
    with pytest.raises(ValueError, match=r"--num-epoch-checkpoints 4: .* has only 3"):
        select(folder, 4, 0, 0)
    with pytest.raises(ValueError, match="--inputs: no such file: nothing"):
        select(["nothing"], 0, 0, 0)
    with pytest.raises(ValueError, match="--inputs must be one existing directory"):
        select(["nothing"], 1, 0, 0)


def test_average_on_the_command_line(tmp_path):
    inputs = [save(tmp_path / f"{name}.pt", w=torch.tensor([float(name)])) for name in (1, 2)]
    output = tmp_path / "new" / "averaged.pt"
    run_command("python", "-m", "fairseq_bahdanau.cli.average", "--inputs", *inputs, "--output", output)
    assert torch.load(output)["model"]["w"].tolist() == [1.5]
    printed = run_command(
        "python",
        "-m",
        "fairseq_bahdanau.cli.average",
        "--inputs",
        "gone.pt",
        "--output",
        tmp_path / "x",
        succeeds=False,
    )
    assert printed.strip().splitlines()[-1].endswith("error: --inputs: no such file: gone.pt")
    assert not (tmp_path / "x").exists()
