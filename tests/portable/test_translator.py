"""From a checkpoint to a folder, and from a folder to translations: those of fairseq, without fairseq."""

import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
from hostile_text import ODD, hostile_lines
from support import ROOT, TINY_TRAINING, environment, generate, lines, lines_of, run_command, translate, write

from fairseq_bahdanau.cli import export
from fairseq_bahdanau.portable import folder as folders
from fairseq_bahdanau.translator import Translator

WITHOUT_FAIRSEQ = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "fairseq", "omegaconf", "hydra", "onnx"):
            raise ModuleNotFoundError(f"{name} is not installed")
sys.meta_path.insert(0, Missing())
from fairseq_bahdanau.translate import main
main(sys.argv[1:])
"""


def exported(pair, place, *flags):
    export.main([str(pair / "model" / "averaged.pt"), "--output", str(place), *flags])
    return place


@pytest.fixture(scope="module")
def words(pair, tmp_path_factory):
    """The model of words, exported."""
    return exported(pair, tmp_path_factory.mktemp("exported") / "words")


@pytest.fixture(scope="module")
def cut(pieces, tmp_path_factory):
    """The model of pieces with Moses' tokens in lower case, exported."""
    return exported(pieces, tmp_path_factory.mktemp("exported") / "pieces")


def by_folder(place, text, *flags):
    """What ``python -m fairseq_bahdanau.translate`` prints where neither fairseq nor PyTorch is, and its complaints."""
    command = [sys.executable, "-c", WITHOUT_FAIRSEQ, str(place), *map(str, flags)]
    finished = subprocess.run(command, input=text, capture_output=True, env=environment(PYTHONPATH=str(ROOT)))
    assert finished.returncode == 0, finished.stderr.decode()
    return finished.stdout, finished.stderr.decode().splitlines()


@pytest.mark.parametrize("flags", [[], ["--beam", "1"], ["--lenpen", "0.5", "--unkpen", "2", "--max-len-b", "20"]])
def test_lines_are_those_of_translate_sh(words, pair, flags):
    text = b"\n".join([*ODD, *(f"a{n} a{n + 1} a{n + 2} a{7 - n}".encode() for n in range(5))])
    assert by_folder(words, text, *flags)[0] == translate(pair / "model" / "averaged.pt", text, *flags)


def test_text_is_treated_as_the_recipe_did(cut, pieces):
    """Tokenised, lower-cased, cut into pieces, and put together again; the model has learnt nothing."""
    text = b"\n".join([*hostile_lines(40, 300, 5), "Der HUND schläft, heute.".encode(), b""])
    flags = ("--max-len-a", "0", "--max-len-b", "12")  # fairseq takes the limit of the longest sentence of a batch
    found = by_folder(cut, text, *flags)[0].split(b"\n")
    wanted = translate(pieces / "model" / "averaged.pt", text, *flags).split(b"\n")
    assert len(found) == len(wanted) == 42
    assert found == wanted


def test_what_changes_a_text_is_said(words):
    found, said = by_folder(words, b"\n".join(ODD), "--max-len-a", "0", "--max-len-b", "2")
    assert len(found.split(b"\n")) == len(ODD) + 1
    assert "standard input, line 6: bytes that are not UTF-8 are replaced by \ufffd" in said
    assert "translate: line 8 has 1001 tokens: translated in 3 parts" in said
    limited = "its translation reached the limit of 2 tokens: it may be cut"
    assert {f"translate: line 8, part {part}: {limited}" for part in (1, 2)} <= set(said)
    assert f"translate: line 1: {limited}" in said
    assert "translate: 5 of 1015 source tokens are not in the dictionary: the model reads <unk>" in said


def test_scores_and_tokens_are_those_of_fairseq_generate(words, pair, corpus):
    printed = generate(pair / "bin", pair / "model" / "averaged.pt", "--max-len-a", "2", "--max-len-b", "200")
    wanted = {number: fields for number, (fields,) in lines_of("H", printed).items()}
    for number, found in enumerate(Translator(str(words)).translate(lines(corpus / "test.xx"), batch_size=4)):
        score, text = wanted[number]
        assert found.text == text and found.target == [*text.split(), "</s>"]
        assert found.score * np.log2(np.e) == pytest.approx(float(score), abs=1e-4)  # fairseq prints base 2


def test_attention_is_of_the_words_that_are_given_with_it(words):
    """The model writes backwards, and looks where it reads."""
    one, empty, long = Translator(str(words)).translate(["a1 a2 a3", "", "a2 " * 500])
    assert one.source == ["a1", "a2", "a3", "</s>"] and one.target == ["b3", "b2", "b1", "</s>"]
    assert one.attention.argmax(axis=1).tolist()[:3] == [2, 1, 0]
    assert (empty.text, empty.target, empty.attention.shape) == ("", [], (0, 0))
    assert long.attention.shape == (len(long.target), len(long.source) == 502 and 502)
    for found in (one, long):
        np.testing.assert_allclose(found.attention.sum(axis=1), 1, atol=1e-5)
    ends = [place for place, word in enumerate(long.target) if word == "</s>"]
    first, others = long.attention[: ends[0] + 1], long.attention[ends[0] + 1 :]
    assert len(ends) == 2 and not first[:, 401:].any() and not others[:, :401].any()


def test_the_mean_of_a_model_and_itself_is_the_model(words):
    text = ["a1 a2 a3", "a4", "a5 a6 a0 a7 a1"]
    one, two = Translator(str(words)).translate(text), Translator(str(words), str(words)).translate(text)
    for found, wanted in zip(two, one):
        assert found.text == wanted.text and found.score == pytest.approx(wanted.score, abs=1e-5)
        np.testing.assert_allclose(found.attention, wanted.attention, atol=1e-5)


def test_integers_translate_alike(pair, tmp_path):
    place = exported(pair, tmp_path / "int8", "--int8")
    assert json.loads((place / "model.json").read_text())["int8"] is True
    graph = onnx.load(place / "step.onnx").graph
    floats = {value.name for value in graph.initializer if value.data_type == onnx.TensorProto.FLOAT}
    assert len([node for node in graph.node if node.op_type == "MatMulInteger"]) == 6  # W_a, U, W_y, U_o, C_o and W_o
    assert "decoder.attention.energy" in floats and "decoder.readout.state_proj.weight" not in floats
    found = [each.text for each in Translator(str(place)).translate(["a1 a2 a3", "a4", "a5 a6 a0 a7 a1"])]
    assert found == ["b3 b2 b1", "b4", "b1 b7 b0 b6 b5"]


def test_a_folder_holds_no_pickle_and_tells_of_itself(words, cut):
    assert {path.name for path in words.iterdir()} == {
        "dict.xx.txt", "dict.yy.txt", "encoder.onnx", "model.json", "step.onnx"}  # fmt: skip
    assert (cut / "spm.model").is_file()
    description = folders.read_description(str(cut))
    assert description.text == ("de", "en", "sentencepiece", True, True, False)
    assert description.options["decoder_hidden_size"] == 40 and set(description.versions) >= {"torch", "onnx"}


def test_dictionaries_are_fairseqs(words, data):
    found = folders.read_dictionary(str(words / "dict.xx.txt"))
    assert found.words[:4] == folders.FIRST_WORDS and found.words[4:] == [
        line.split(" ")[0] for line in lines(data / "dict.xx.txt")
    ]


def damaged(place, name, content):
    (place / name).write_bytes(content)


NOT_WHOLE, NOT_OURS = "is missing: the folder is not whole, export it again", "model.json is not what an export writes"
FOLDERS = {
    "gone": (lambda place: shutil.rmtree(place), "is no exported model: it has no model.json"),
    "no-description": (lambda place: (place / "model.json").unlink(), "is no exported model: it has no model.json"),
    "no-encoder": (lambda place: (place / "encoder.onnx").unlink(), "encoder.onnx " + NOT_WHOLE),
    "no-step": (lambda place: (place / "step.onnx").unlink(), "step.onnx " + NOT_WHOLE),
    "no-dictionary": (
        lambda place: (place / "dict.yy.txt").unlink(),
        "dict.yy.txt " + NOT_WHOLE,
    ),
    "half-a-graph": (
        lambda place: damaged(place, "step.onnx", (place / "step.onnx").read_bytes()[:3000]),
        "step.onnx cannot be opened by onnxruntime",
    ),
    "no-json": (lambda place: damaged(place, "model.json", b"{"), NOT_OURS),
    "a-list": (lambda place: damaged(place, "model.json", b"[]"), NOT_OURS),
    "no-text": (
        lambda place: damaged(place, "model.json", b'{"format": 1}'),
        "model.json is not what an export writes",
    ),
    "elsewhere": (
        lambda place: damaged(place, "model.json", (place / "model.json").read_bytes().replace(b'"xx"', b'"../xx"')),
        NOT_OURS,
    ),
    "later": (lambda place: damaged(place, "model.json", b'{"format": 2}'), "has format 2, and this program reads 1"),
    "no-counts": (lambda place: damaged(place, "dict.xx.txt", b"a\n"), "dict.xx.txt, line 1: not a word and its count"),
    "twice": (lambda place: damaged(place, "dict.xx.txt", b"a 1\na 1\n"), "dict.xx.txt has a word twice"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_is_not_whole_is_named(case, words, tmp_path):
    damage, message = FOLDERS[case]
    shutil.copytree(words, tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(ValueError, match=message):
        Translator(str(tmp_path / "model"))


def test_models_that_do_not_belong_together_are_refused(words, cut):
    with pytest.raises(ValueError, match="have different dictionaries or treat text differently"):
        Translator(str(words), str(cut))
    with pytest.raises(ValueError, match="no folder of an exported model was given"):
        Translator()


OPTIONS = {
    "--beam 0": "--beam must be from 1 to",
    "--batch-size 0": "--batch-size must be at least 1, not 0",
    "--threads -1": "--threads must be at least 0, not -1",
    "--buffer-size -1": "--buffer-size must be at least 0, not -1",
    "--input /no/such": "cannot read /no/such: No such file",
}


@pytest.mark.parametrize("flags", OPTIONS)
def test_options_that_make_no_sense_get_one_line(words, flags):
    command = [sys.executable, "-m", "fairseq_bahdanau.translate", str(words), *flags.split()]
    finished = subprocess.run(command, input=b"", capture_output=True, env=environment(PYTHONPATH=str(ROOT)))
    said = finished.stderr.decode().splitlines()
    assert finished.returncode == 1 and len(said) == 1 and said[0].startswith(f"translate: {OPTIONS[flags]}")


def refusal(capsys, *arguments):
    """The one line with which an export ends."""
    with pytest.raises(SystemExit) as ended:
        export.main([*map(str, arguments)])
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(said) == 1
    return said[0].split("python -m fairseq_bahdanau.cli.export: error: ")[-1]


def test_what_cannot_be_exported_is_refused(pair, data, tmp_path, capsys):
    checkpoint, out = pair / "model" / "averaged.pt", tmp_path / "out"
    assert refusal(capsys, tmp_path / "gone.pt", "--output", out).startswith("no such checkpoint: ")
    shutil.copy(checkpoint, tmp_path / "alone.pt")
    assert refusal(capsys, tmp_path / "alone.pt", "--output", out).endswith(
        "; or give --data, a folder of dictionaries"
    )
    told = "is for a model without a recipe's folder: give --data, too"
    for flag in (["--moses"], ["--lowercase"], ["--sentencepiece-model", "x"]):
        assert refusal(capsys, checkpoint, "--output", out, *flag) == f"{flag[0]} {told}"
    given = ("--output", out, "--data", data, "--sentencepiece-model", tmp_path / "gone")
    assert "gone is no model of sentencepiece: " in refusal(capsys, checkpoint, *given)
    (tmp_path / "full").mkdir()
    write(tmp_path / "full" / "file", ["kept"])
    assert "is there already" in refusal(capsys, checkpoint, "--output", tmp_path / "full")
    assert lines(tmp_path / "full" / "file") == ["kept"]
    flags = ("--arch", "lstm", "--max-update", "1", "--no-epoch-checkpoints", "--save-dir", tmp_path / "other")
    run_command("fairseq-train", data, *TINY_TRAINING, *flags)
    message = refusal(capsys, tmp_path / "other" / "checkpoint_last.pt", "--output", out, "--data", data)
    assert message.endswith("a LSTMModel, of another architecture; a BahdanauModel can be exported")
    assert not out.exists()


def test_an_export_that_fails_leaves_nothing(pair, tmp_path, monkeypatch, capsys):
    def fail(model):
        raise OSError(28, "No space left on device", "step.onnx")

    monkeypatch.setattr(export, "step_graph", fail)
    assert refusal(capsys, pair / "model" / "averaged.pt", "--output", tmp_path / "out").startswith(
        "step.onnx: No space"
    )
    assert not any(tmp_path.iterdir())


def test_a_checkpoint_without_a_recipe_is_told_how_text_is_treated(pair, data, tmp_path):
    shutil.copy(pair / "model" / "averaged.pt", tmp_path / "alone.pt")
    export.main([str(tmp_path / "alone.pt"), "--output", str(tmp_path / "out"), "--data", str(data), "--lowercase"])
    (found,) = Translator(str(tmp_path / "out")).translate(["A1 a2 A3"])
    assert found.text == "b3 b2 b1"
