"""Checkpoints that are damaged, foreign or hostile: every command refuses them in one line, and runs nothing."""

import copy
import logging
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.data import Dictionary
from support import TINY_FLAGS, run_here

from fairseq_bahdanau.cli import align, average
from fairseq_bahdanau.guards import checkpoints
from fairseq_bahdanau.model import BahdanauModel

load = checkpoint_utils.load_checkpoint_to_cpu

pytestmark = pytest.mark.usefixtures("own_logs")


class Asks:
    """Has a pickle call a function when it is loaded."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    """A checkpoint after two updates."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])
        run_here(patch, "train", data, *TINY_FLAGS, "--max-update", 2, "--save-dir", folder, "--no-epoch-checkpoints")
    return folder / "checkpoint_last.pt"


@pytest.fixture
def bad(trained, tmp_path):
    """A function that writes a bad checkpoint: a key of the table below."""

    def write(kind):
        path, state = tmp_path / f"{kind}.pt", torch.load(trained)
        content, zipped = trained.read_bytes(), True
        if kind.startswith("runs-code"):
            state["extra_state"]["surprise"] = Asks(os.system, f"touch {tmp_path / 'ran'}")
            zipped = not kind.endswith("legacy")
        elif kind == "options-are-code":
            code = f"[(16, 3)] * (__import__('os').system('touch {tmp_path / 'ran'}') or 1)"
            state["cfg"]["model"].update(_name="fconv", encoder_layers=code)
        elif kind == "other":
            state = {"a": 1}
        elif kind == "without-model":
            del state["model"]
        elif kind == "without-options":
            state["cfg"] = None
        elif kind == "of-another-plugin":
            state["cfg"]["model"]["_name"] = "somebodys_model"
        elif kind == "of-other-sizes":
            state["cfg"]["model"]["attention_dim"] = 7
        elif kind == "folder":
            path.mkdir()
            return path
        elif kind == "missing":
            return path
        else:
            middle = len(content) // 2
            flipped = content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :]
            path.write_bytes({"empty": b"", "cut": content[:middle], "text": b"hello\n", "flipped": flipped}[kind])
            return path
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        return path

    return write


MESSAGES = {
    "runs-code": "it asks for posix.system, which no checkpoint of fairseq needs: nothing of it was run",
    "runs-code-legacy": "it asks for posix.system, which no checkpoint of fairseq needs: nothing of it was run",
    "options-are-code": "its option encoder_layers is code, \"[(16, 3)] * (__import__('os')",
    "empty": "the file is empty",
    "cut": "the file is cut short or damaged",
    "flipped": "differs from its checksum",
    "text": "the file is damaged, or no checkpoint of fairseq",
    "other": "no checkpoint of fairseq",
    "without-model": "no checkpoint of fairseq: it has no 'model'",
    "without-options": "no checkpoint of fairseq: it has no options",
    "folder": "Is a directory",
}
ENSEMBLE = {
    "missing": "no such file",
    "of-another-plugin": "its task or architecture is not known here: give the --user-dir of its training",
    "of-other-sizes": "its parameters are not those of the model that the options describe: size mismatch for decoder.",
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_bad_checkpoint_is_refused_by_name_and_not_run(kind, bad, tmp_path):
    path = bad(kind)
    with pytest.raises(ValueError) as error:
        load(str(path))
    assert str(error.value).startswith(f"cannot load {path}: ") and MESSAGES[kind] in str(error.value)
    assert "\n" not in str(error.value) and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ENSEMBLE)
def test_the_bad_one_of_several_is_named(kind, bad, trained, data):
    path = bad(kind)
    with pytest.raises(ValueError) as error:
        checkpoint_utils.load_model_ensemble([str(trained), str(path)], {"data": str(data)})
    assert str(error.value).startswith(f"cannot load {path}: {ENSEMBLE[kind]}") and "\n" not in str(error.value)


def test_the_surprises_of_these_tests_do_run_where_nothing_guards(bad, tmp_path, data, monkeypatch):
    torch.load(bad("runs-code"), weights_only=False)
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    monkeypatch.setattr("fairseq_bahdanau.guards.loading.require_no_code", lambda options: None)
    with pytest.raises(ValueError):
        checkpoint_utils.load_model_ensemble([str(bad("options-are-code"))], {"data": str(data)})
    assert (tmp_path / "ran").exists()


def commands(data, path, folder):
    """Every command that takes a checkpoint, as a function of a monkeypatch."""
    given = (data, "--path", path, "--cpu")
    training = ("train", data, *TINY_FLAGS, "--max-update", 3, "--save-dir", folder / "run")
    hub = {"checkpoint_file": path.name, "data_name_or_path": str(data)}
    return {
        "generate": lambda patch: run_here(patch, "generate", *given),
        "interactive": lambda patch: run_here(patch, "interactive", *given, "--input", os.devnull),
        "validate": lambda patch: run_here(patch, "validate", *given, "--task", "translation", "--max-tokens", 300),
        "restore": lambda patch: run_here(patch, *training, "--restore-file", path),
        "finetune": lambda patch: run_here(patch, *training, "--finetune-from-model", path),
        "average": lambda patch: average.main(["--inputs", str(path), "--output", str(folder / "out.pt")]),
        "align": lambda patch: align.main(
            [*map(str, given), "--input", str(data / "preprocess.log"), "--output", str(folder / "out")]
        ),
        "hub": lambda patch: BahdanauModel.from_pretrained(str(path.parent), **hub),
    }


@pytest.mark.parametrize("kind", ["runs-code", "cut", "other"])
@pytest.mark.parametrize("command", commands(Path(), Path(), Path()))
def test_every_command_refuses_in_one_line(command, kind, bad, data, tmp_path, monkeypatch, capsys):
    path = bad(kind)
    with pytest.raises(ValueError if command == "hub" else SystemExit) as error:
        commands(data, path, tmp_path)[command](monkeypatch)
    printed = capsys.readouterr().err
    line = str(error.value) if command == "hub" else printed.strip().split("\n")[-1]
    assert f"cannot load {path}: " in line and MESSAGES[kind] in line, line
    assert "Traceback" not in printed and not (tmp_path / "ran").exists() and not (tmp_path / "out.pt").exists()


def test_what_hinders_a_training_from_going_on_is_said(trained, data, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    table = {
        ("--attention-dim", "7"): "its parameters are not those of the model that the options describe: size mismatch",
        ("--optimizer", "adadelta"): "Optimizer does not match; please reset the optimizer (--reset-optimizer)",
        ("--arch", "rnnsearch50"): "Missing key(s) in state_dict",
        ("--restore-file", "gone.pt"): "--restore-file gone.pt: no such file",
        ("--finetune-from-model", "gone.pt"): "--finetune-from-model gone.pt does not exist",
    }
    for flags, message in table.items():
        if "gone.pt" not in flags:
            (folder / "checkpoint_last.pt").write_bytes(trained.read_bytes())
        with pytest.raises(SystemExit):
            run_here(monkeypatch, "train", data, *TINY_FLAGS, "--max-update", 3, "--save-dir", folder, *flags)
        line = capsys.readouterr().err.strip().split("\n")[-1]
        assert line.startswith("fairseq-train: error: ") and message in line, line
        assert "gone.pt" in flags or str(folder / "checkpoint_last.pt") in line, line
        for file in folder.glob("*"):
            file.unlink()
    (folder / "checkpoint_last.pt").mkdir()
    with pytest.raises(SystemExit):
        run_here(monkeypatch, "train", data, *TINY_FLAGS, "--max-update", 3, "--save-dir", folder)
    assert "checkpoint_last.pt: it is no file" in capsys.readouterr().err.strip().split("\n")[-1]


def test_a_flipped_bit_is_noticed_anywhere(trained, tmp_path):
    content, wanted, numbers, refused = trained.read_bytes(), torch.load(trained)["model"], random.Random(5), 0
    for _ in range(25):
        damaged = bytearray(content)
        damaged[numbers.randrange(len(content))] ^= 1 << numbers.randrange(8)
        (tmp_path / "flipped.pt").write_bytes(damaged)
        try:
            found = load(str(tmp_path / "flipped.pt"))["model"]  # what only fills the file up may change
            assert all(torch.equal(found[name], parameter) for name, parameter in wanted.items())
        except ValueError as error:
            assert "damaged" in str(error)
            refused += 1
    assert refused > 15


def test_a_file_without_checksums_loads(trained, tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(torch.load(trained), tmp_path / "plain.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert load(str(tmp_path / "plain.pt"))["model"].keys() == torch.load(trained)["model"].keys()


# Options of fairseq that are a name of the user's choice, which may look like a call.
PLACES = ("save_dir", "tensorboard_logdir", "wandb_project", "aim_repo", "path", "sentencepiece_model", "bpe_codes")
PLACES += ("gen_subset", "train_subset", "encoder_json", "bpe_codes_path", "checkpoint_suffix", "sentencepiece_vocab")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"layers": "print(1)"}, "layers"),
        ({"layers": b"print(1)"}, "layers"),
        ({"layers": " \n (lambda: 0)()"}, "layers"),
        ({"layers": "f'{print(1)}'"}, "layers"),
        ({"deep": [{"layers": ("print(1)",)}]}, "layers"),
        ({"word": "print", "rest": "('x')", "layers": "${word}${rest}"}, "layers"),
        ({"embed_path": "print(1)", "layers": "${embed_path}"}, "layers"),
        ({"layers": "[(512, 3)] * 20", "betas": "(0.9, 0.999)", "args": '{"beam": 5}', "data": "data (2)/bin"}, None),
        ({name: "runs (2)" for name in PLACES}, None),
    ],
)
def test_options_that_fairseq_might_evaluate_hold_no_code(options, told):
    for given in (options, checkpoints.OmegaConf.create(options, flags={"allow_objects": True})):
        if told is None or (isinstance(given, dict) and "${" in str(options)):
            checkpoints.require_no_code(given)
            continue
        with pytest.raises(checkpoints.Refused, match=f"its option {told} is code"):
            checkpoints.require_no_code(given)


class NumberType:
    """A NumPy type with fields or flags of the file's choice."""

    def __init__(self, *state):
        self.state = state

    def __reduce__(self):
        return np.dtype, ("i8", False, True), self.state


class Array:
    """An array of such a type."""

    def __init__(self, kind, data):
        self.state = 1, (4,), kind, False, data

    def __reduce__(self):
        return np.zeros(1).__reduce__()[0], (np.ndarray, (0,), b"b"), self.state


@pytest.mark.parametrize(
    "content",
    [
        Array(NumberType(3, "<", None, None, None, -1, -1, 63), b"A" * 32),  # numbers said to be objects
        Array(NumberType(3, "<", None, ("a",), {"a": (1, 0)}, 8, 8, 0), b"A" * 32),
        Array(NumberType(3, ">", None, None, None, -1, -1, 0), b"A" * 32),
        Array(np.dtype("i8"), b"A" * 3),
        np.array([None], dtype=object),
        np.array(["text"]),
        Asks(np.ndarray, (10**14,)),
    ],
)
def test_an_array_of_anything_but_numbers_is_refused(content, trained, tmp_path):
    torch.save({**torch.load(trained), "surprise": content}, tmp_path / "array.pt")
    with pytest.raises(ValueError, match="damaged, or no checkpoint"):
        load(str(tmp_path / "array.pt"))


def test_arrays_of_numbers_come_back_and_are_saved_as_they_were(trained, tmp_path):
    wanted = [np.array([[1, 2], [3, 4]]), np.array([1.5]), np.arange(6, dtype="f4").reshape(2, 3).T, np.float64(2.5)]
    state = torch.load(trained)
    for name in ("once.pt", "twice.pt"):
        torch.save({**state, "arrays": wanted}, tmp_path / name)
        found = load(str(tmp_path / name))["arrays"]
        for one, other in zip(wanted, found):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        wanted = found
    assert b"saved_arrays" not in (tmp_path / "twice.pt").read_bytes()  # others can load it without this package


def test_loading_is_safe_where_pytorch_is_not_by_default(bad, monkeypatch, tmp_path):
    path = bad("runs-code")
    pytorchs_load = torch.load
    # As some versions of fairseq call it, and as PyTorch before 2.6 takes it.
    monkeypatch.setattr(torch, "load", lambda *args, map_location: pytorchs_load(*args, weights_only=False))
    with pytest.raises(ValueError, match=r"asks for posix\.system"):
        load(str(path))
    assert not (tmp_path / "ran").exists() and "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_options_that_are_younger_or_older_than_a_checkpoint_do_not_hinder(trained, data, tmp_path):
    for name in ("bigru_bahdanau_maxout", "rnnsearch50", "bigru_bahdanau_small_data"):
        state = copy.deepcopy(torch.load(trained))
        options = state["cfg"]["model"]
        options.update(_name=name, of_an_older_version=3, gru_reset="after")
        for younger in ("recurrence", "cell", "output_bias"):
            del options[younger]
        del state["model"]["dictionaries_version"]
        torch.save(state, tmp_path / "old.pt")
        (model,), _ = checkpoint_utils.load_model_ensemble([str(tmp_path / "old.pt")], {"data": str(data)})
        assert torch.equal(model.decoder.embed_tokens.weight, state["model"]["decoder.embed_tokens.weight"])


def test_a_checkpoint_of_a_task_that_keeps_a_dictionary_loads(trained, tmp_path):
    """As those of fairseq's tasks for speech do."""
    state = torch.load(trained)
    state["task_state"] = {"target_dictionary": Dictionary()}
    torch.save(state, tmp_path / "speech.pt")
    assert load(str(tmp_path / "speech.pt"))["task_state"]["target_dictionary"] == Dictionary()


def test_one_state_is_not_of_several_models(trained):
    state = checkpoint_utils.load_checkpoint_to_cpu(str(trained))
    with pytest.raises(ValueError, match="one state is of one model, not of 2"):
        checkpoint_utils.load_model_ensemble_and_task([str(trained), str(trained)], state=state)
