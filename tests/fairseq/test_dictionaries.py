"""A model remembers its dictionaries: data of others is refused by name, and a damaged dictionary is named."""

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.data import Dictionary
from fairseq.models.bart.hub_interface import BARTHubInterface
from fairseq.models.roberta.hub_interface import RobertaHubInterface
from support import TINY_FLAGS, build_model, dictionary, run_here

from fairseq_bahdanau.cli import align, average
from fairseq_bahdanau.guards.dictionaries import NAME, checksums
from fairseq_bahdanau.model import BahdanauModel

pytestmark = pytest.mark.usefixtures("own_logs")


def train(patch, data, folder, *args):
    """Two updates, or more where ``args`` says so."""
    flags = ("--max-update", 2, "--save-dir", folder, "--no-epoch-checkpoints", *args)
    run_here(patch, "train", data, *TINY_FLAGS, *flags)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    """A checkpoint after two updates, with a moving average of the parameters."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])
        train(patch, data, folder, "--store-ema", "--ema-fp32")
    return folder / "checkpoint_last.pt"


@pytest.fixture
def other(data, tmp_path):
    """A function that copies the data and gives one dictionary other lines."""

    def change(language, lines):
        folder = tmp_path / "other"
        shutil.copytree(data, folder)
        path = folder / f"dict.{language}.txt"
        path.write_text("\n".join(lines(path.read_text().splitlines())) + "\n")
        return folder

    return change


OTHERS = {
    "two words change places": ("xx", lambda lines: [lines[1], lines[0], *lines[2:]], "source"),
    "a letter differs": ("yy", lambda lines: [lines[0].replace("b", "c"), *lines[1:]], "target"),
    "cut short": ("yy", lambda lines: lines[:4], "target"),
    "longer": ("xx", lambda lines: [*lines, "more 1"], "source"),
    "a byte order mark": ("xx", lambda lines: ["\ufeff" + lines[0], *lines[1:]], "source"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_data_of_another_dictionary_is_refused_by_name(kind, trained, other):
    language, lines, side = OTHERS[kind]
    with pytest.raises(ValueError) as error:
        checkpoint_utils.load_model_ensemble([str(trained)], {"data": str(other(language, lines))})
    assert str(error.value).startswith(f"cannot load {trained}: it was trained with another {side} dictionary of ")
    assert "\n" not in str(error.value)


def test_other_counts_of_the_same_words_are_no_other_dictionary(trained, other):
    folder = other("xx", lambda lines: [line.split()[0] + " 1" for line in lines])
    assert checkpoint_utils.load_model_ensemble([str(trained)], {"data": str(folder)})


def commands(data, path, folder):
    """Every command that takes a checkpoint and data, as a function of a monkeypatch."""
    given = (data, "--path", path, "--cpu", "--task", "translation")
    lines = ("--input", folder / "lines")
    hub = {"checkpoint_file": path.name, "data_name_or_path": str(data)}
    return {
        "generate": lambda patch: run_here(patch, "generate", *given),
        "interactive": lambda patch: run_here(patch, "interactive", *given, *lines),
        "validate": lambda patch: run_here(
            patch, "validate", *given, "--max-tokens", 300, "--model-overrides", {"data": str(data)}
        ),
        "resume": lambda patch: train(patch, data, path.parent, "--max-update", 4),
        "restore": lambda patch: train(patch, data, folder / "run", "--restore-file", path),
        "finetune": lambda patch: train(patch, data, folder / "run", "--finetune-from-model", path),
        "align": lambda patch: align.main([*map(str, (*given, *lines, "--output", folder / "out"))]),
        "hub": lambda patch: BahdanauModel.from_pretrained(str(path.parent), **hub),
    }


@pytest.mark.parametrize("command", commands(Path(), Path(), Path()))
def test_every_command_refuses_another_dictionary_of_the_same_size(
    command, trained, other, tmp_path, monkeypatch, capsys
):
    folder = other("yy", OTHERS["a letter differs"][1])
    path = tmp_path / "checkpoint_last.pt"
    path.write_bytes(trained.read_bytes())
    (tmp_path / "lines").write_text("a1 a2\n")
    with pytest.raises(ValueError if command == "hub" else SystemExit) as error:
        commands(folder, path, tmp_path)[command](monkeypatch)
    printed = capsys.readouterr().err
    line = str(error.value) if command == "hub" else printed.strip().split("\n")[-1]
    words = len(Dictionary.load(str(folder / "dict.yy.txt")))
    assert f"cannot load {path}: it was trained with another target dictionary of {words} words" in line, line
    assert f"than that of the data, of {words} words: give the data folder of its training" in line
    assert path.read_bytes() == trained.read_bytes()


def test_a_training_with_a_moving_average_goes_on(trained, data, tmp_path, monkeypatch):
    shutil.copy(trained, tmp_path / "checkpoint_last.pt")
    train(monkeypatch, data, tmp_path, "--store-ema", "--ema-fp32", "--max-update", 4)
    before, after = (torch.load(path)["model"] for path in (trained, tmp_path / "checkpoint_last.pt"))
    assert torch.equal(before[NAME], after[NAME]) and before[NAME].dtype == torch.int64
    assert not torch.equal(before["decoder.embed_tokens.weight"], after["decoder.embed_tokens.weight"])
    run_here(monkeypatch, "train", data, *TINY_FLAGS, "--store-ema", "--max-update", 1, "--no-save", "--save-dir",
            tmp_path / "new")  # fmt: skip


def test_a_checkpoint_without_a_record_loads(trained, other, tmp_path):
    state = torch.load(trained)
    del state["model"][NAME]
    torch.save(state, tmp_path / "old.pt")
    folder = other("yy", OTHERS["a letter differs"][1])
    (model,), _ = checkpoint_utils.load_model_ensemble([str(tmp_path / "old.pt")], {"data": str(folder)})
    assert torch.equal(model.get_buffer(NAME)[1], checksums(dictionary(1), model.decoder.dictionary)[1])


def test_a_dictionary_that_is_not_there_is_named(trained, other):
    folder = other("xx", list)
    (folder / "dict.xx.txt").unlink()
    with pytest.raises(ValueError, match=rf"cannot load {trained}: {folder}/dict\.xx\.txt: No such file or directory"):
        checkpoint_utils.load_model_ensemble([str(trained)], {"data": str(folder)})


def test_the_record_is_that_of_the_words_in_their_order():
    # SHA-256 of "<s>\n<pad>\n</s>\n<unk>\nw0" and of the same with z0, by sha256sum.
    model = build_model(dictionary(1), dictionary(1, "z"))
    first, second = (bytes(row).hex() for row in model.state_dict()[NAME].tolist())
    assert (
        first == "a19a69f90963f578cd77f60df3a4a819d68b1f297857e1c08361f1d71df64901"
        and second == "621410ce78e54b5d6deee05f723071c0862d64c8222c996d9d3d27b8015d8051"
    )


@pytest.mark.parametrize(
    "mean", [lambda one: (one + one) / 2, lambda one: (one + one) // 2, lambda one: sum(one / 49 for _ in range(49))]
)
def test_a_record_survives_whoever_averages_it(mean):
    model = build_model()
    state = model.state_dict()
    state[NAME] = mean(state[NAME])
    model.load_state_dict(state)
    assert model.get_buffer(NAME).dtype == torch.int64


def test_averaging_keeps_the_record_and_refuses_others(trained, tmp_path):
    old, foreign = torch.load(trained), torch.load(trained)
    del old["model"][NAME]
    foreign["model"][NAME][0, 3] ^= 1
    torch.save(old, tmp_path / "old.pt")
    torch.save(foreign, tmp_path / "foreign.pt")
    for paths in ([trained, trained, trained], [tmp_path / "old.pt", trained], [trained, tmp_path / "old.pt"]):
        found = average.average([*map(str, paths)])["model"]
        assert torch.equal(found[NAME], torch.load(trained)["model"][NAME])
    assert NAME not in average.average([str(tmp_path / "old.pt")])["model"]
    with pytest.raises(ValueError, match=r"--inputs: .*foreign\.pt was trained with another source dictionary"):
        average.average([str(trained), str(tmp_path / "foreign.pt")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a1 3\na2\n", "Incorrect dictionary format"),
        (b"a1 3\na2 x\n", "Incorrect dictionary format"),
        (b"a1 3\na1 3\n", "Duplicate word found"),
        (b"a1 3\n\xff\xfe 3\n", "Incorrect encoding detected"),
        (bytes(range(256)), "Incorrect"),
    ],
)
def test_a_damaged_dictionary_is_named(content, message, tmp_path):
    path = tmp_path / "dict.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        Dictionary.load(str(path))
    assert "\n" not in str(error.value) and str(error.value).startswith(f"dictionary {path}: ")


@pytest.mark.parametrize("interface", [RobertaHubInterface, BARTHubInterface])
def test_an_interface_that_writes_control_symbols_itself_gets_them(interface):
    words = dictionary(2)  # w0 and w1
    hub = SimpleNamespace(
        task=SimpleNamespace(source_dictionary=words), bpe=SimpleNamespace(encode=str), max_positions=(99,)
    )
    assert interface.encode(hub, "w0 w1").tolist() == [words.bos(), 4, 5, words.eos()]
    assert len(words) == 6
    assert words.encode_line("w0 </s> <s>", add_if_not_exist=False).tolist() == [4, 3, 3, 2]
