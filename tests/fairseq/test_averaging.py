"""What cli.average refuses, in one line, and what it leaves behind."""

import resource
import stat

import pytest
import torch

from fairseq_bahdanau.cli import average


def save(path, extra=None, **parameters):
    """A checkpoint of these parameters."""
    torch.save({"model": parameters, "extra_state": {"epoch": 3}, **(extra or {})}, path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, and others that do not go with them."""
    for number in (1, 2):
        save(tmp_path / f"checkpoint{number}.pt", w=torch.full((3,), float(number)), n=torch.tensor([4]))
    save(tmp_path / "shape.pt", w=torch.ones(2), n=torch.tensor([4]))
    save(tmp_path / "name.pt", v=torch.ones(3), n=torch.tensor([4]))
    save(tmp_path / "inf.pt", w=torch.tensor([1.0, float("inf"), 2.0]), n=torch.tensor([4]))
    save(tmp_path / "nan.pt", w=torch.tensor([1.0, float("nan"), 2.0]), n=torch.tensor([4]))
    save(tmp_path / "nothing.pt")
    save(tmp_path / "text.pt", w="text")
    torch.save({"a": 1}, tmp_path / "other.pt")
    torch.save({"model": torch.ones(2)}, tmp_path / "tensor.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "checkpoint1.pt").read_bytes()[:300])
    (tmp_path / "empty.pt").touch()
    (tmp_path / "a-file").touch()
    (tmp_path / "empty-folder").mkdir()
    return tmp_path


ONE, TWO = "F/checkpoint1.pt", "F/checkpoint2.pt"
REFUSED = [
    (f"--inputs {ONE} F/cut.pt", "cannot load F/cut.pt: the file is cut short or damaged"),
    (f"--inputs {ONE} F/empty.pt", "cannot load F/empty.pt: the file is empty"),
    (f"--inputs {ONE} F/other.pt", "cannot load F/other.pt: no checkpoint of fairseq: it has no 'model'"),
    (f"--inputs {ONE} F/tensor.pt", "cannot load F/tensor.pt: no checkpoint of fairseq"),
    (f"--inputs {ONE} F/nothing.pt", "cannot load F/nothing.pt: no checkpoint of fairseq"),
    (f"--inputs {ONE} F/text.pt", "cannot load F/text.pt: no checkpoint of fairseq: its w is no tensor"),
    (f"--inputs {ONE} F/gone.pt", "--inputs: no such file: F/gone.pt"),
    (f"--inputs {ONE} F", "--inputs: F is a folder: name its files, or give --num-epoch-checkpoints N"),
    (f"--inputs {ONE} F/shape.pt", f"F/shape.pt has other parameters than {ONE}: w is [2] in place of [3]"),
    (f"--inputs {ONE} F/name.pt", f"F/name.pt has other parameters than {ONE}: w is missing in place of [3]"),
    (f"--inputs {ONE} F/nan.pt", "--inputs: F/nan.pt: w holds NaN"),
    (f"--inputs F/nan.pt {ONE}", "--inputs: F/nan.pt: w holds NaN"),
    (f"--inputs {ONE} F/inf.pt", "--inputs: F/inf.pt: w holds NaN or infinity"),
    (f"--inputs {ONE} {TWO} --checkpoint-upper-bound 1", "--checkpoint-upper-bound needs --num-epoch-checkpoints"),
    ("--inputs F --num-epoch-checkpoints 3", "--num-epoch-checkpoints 3: F has only 2 such checkpoints"),
    ("--inputs F --num-epoch-checkpoints 0", "--num-epoch-checkpoints must be at least 1, not 0"),
    ("--inputs F --num-epoch-checkpoints -1", "--num-epoch-checkpoints must be at least 1, not -1"),
    ("--inputs F --num-update-checkpoints -2", "--num-update-checkpoints must be at least 1, not -2"),
    ("--inputs F --num-update-checkpoints 1", "--num-update-checkpoints 1: F has only 0 such checkpoints"),
    ("--inputs F --num-epoch-checkpoints 1 --checkpoint-upper-bound -1", "--checkpoint-upper-bound must be at least 1"),
    ("--inputs F/empty-folder --num-epoch-checkpoints 1", "F/empty-folder has only 0 such checkpoints"),
    ("--inputs F/gone --num-epoch-checkpoints 1", "--inputs must be one existing directory"),
    (f"--inputs {ONE} {TWO} --output F/a-file/out.pt", "--output F/a-file/out.pt: "),
    (f"--inputs {ONE} {TWO} --output F/empty-folder", "--output F/empty-folder: there is something of this name"),
    (f"--inputs {ONE} {TWO} --output /dev/full", "--output /dev/full: there is something of this name that is not a"),
    (f"--inputs {ONE} {TWO} --output F/../{{}}/checkpoint2.pt", "is one of the checkpoints to average"),
    ("--inputs F --num-epoch-checkpoints 2 --output F/checkpoint1.pt", "is one of the checkpoints to average"),
]


def run(folder, line):
    """cli.average in this process; F is the folder."""
    words = [word.replace("F", str(folder)).replace("{}", folder.name) for word in line.split()]
    average.main([*words, *([] if "--output" in words else ["--output", str(folder / "out.pt")])])


@pytest.mark.parametrize(("line", "message"), REFUSED)
def test_average_refuses_in_one_line_and_leaves_all_as_it_was(line, message, folder, capsys):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(SystemExit) as error:
        run(folder, line)
    printed = capsys.readouterr().err
    assert error.value.code == 2 and printed.count("\n") == 1, printed
    assert printed.startswith("python -m fairseq_bahdanau.cli.average: error: "), printed
    assert message.replace("F/", f"{folder}/").replace("F ", f"{folder} ") in printed, printed
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_disk_that_is_full_leaves_the_last_result(folder, capsys):
    (folder / "out.pt").write_bytes(b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(SystemExit):
            run(folder, f"--inputs {ONE} {TWO}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"--output {folder / 'out.pt'}: File too large" in capsys.readouterr().err
    assert (folder / "out.pt").read_bytes() == b"before" and not list(folder.glob("*.part"))


def test_an_output_that_is_there_is_replaced_and_its_folder_is_made(folder):
    (folder / "out.pt").write_bytes(b"before")
    run(folder, f"--inputs {ONE} {TWO}")
    run(folder, "--inputs F --num-epoch-checkpoints 2 --output F/new/deep/out.pt")
    for path in (folder / "out.pt", folder / "new" / "deep" / "out.pt"):
        assert torch.load(path)["model"]["w"].tolist() == [1.5, 1.5, 1.5]
        assert stat.S_ISREG(path.stat().st_mode)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"context": "fixed"}, "--context fixed, and .* --context attention"),
        ({"attention_score": "dot"}, "--attention-score dot, and .* --attention-score additive"),
        ({"dropout": 0.7, "_name": "bigru_bahdanau_small_data"}, None),
    ],
)
def test_members_of_the_family_are_not_averaged_for_their_shapes(options, told, tmp_path):
    model = {"_name": "bigru_bahdanau_maxout", "context": "attention", "attention_score": "additive", "dropout": 0.3}
    for name, given in (("one", model), ("two", {**model, **options})):
        torch.save({"model": {"w": torch.ones(2)}, "cfg": {"model": given}}, tmp_path / f"{name}.pt")
    paths = [str(tmp_path / "one.pt"), str(tmp_path / "two.pt")]
    if told is None:
        assert average.average(paths)["model"]["w"].tolist() == [1, 1]
    else:
        with pytest.raises(ValueError, match=f"two.pt has {told}"):
            average.average(paths)
