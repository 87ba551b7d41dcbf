"""From a checkpoint to a folder, and from a folder to translations: those of fairseq, without fairseq."""

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from fairseq.data import Dictionary
from hostile_text import ODD, hostile_lines
from support import ROOT, TINY_TRAINING, environment, generate, lines, lines_of, run_command, translate, write

from fairseq_bahdanau.cli import export
from fairseq_bahdanau.portable import folder as folders
from fairseq_bahdanau.portable import lines as portable_lines
from fairseq_bahdanau.portable import moses
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


def described(place, name, content):
    """Damages a file and gives the folder its checksum, as a stranger may."""
    damaged(place, name, content)
    told(place, files={**json.loads((place / "model.json").read_text())["files"], name: folders.checksum(place / name)})


def told(place, **values):
    """Has the description say something else."""
    description = json.loads((place / "model.json").read_text())
    text = {name: values.pop(name) for name in list(values) if name in description["text"]}
    description["text"].update(text)
    (place / "model.json").write_text(json.dumps({**description, **values}))


OTHER = "is not what was exported: damaged, or of another model; export it again"
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
        "step.onnx " + OTHER,
    ),
    "half-a-graph-of-a-stranger": (
        lambda place: described(place, "step.onnx", (place / "step.onnx").read_bytes()[:3000]),
        "step.onnx cannot be opened by onnxruntime",
    ),
    "another-graph": (lambda place: shutil.copyfile(place / "encoder.onnx", place / "step.onnx"), "step.onnx " + OTHER),
    "a-word-less": (
        lambda place: damaged(place, "dict.yy.txt", (place / "dict.yy.txt").read_bytes().partition(b"\n")[2]),
        "dict.yy.txt " + OTHER,
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
    "no-counts": (
        lambda place: described(place, "dict.xx.txt", b"a\n"),
        "dict.xx.txt, line 1: not a word and its count",
    ),
    "twice": (lambda place: described(place, "dict.xx.txt", b"a 1\na 1\n"), "dict.xx.txt has a word twice"),
}


# Values of the description that no export writes, and what is said of each.
VALUES = (
    ({"pieces": "bpe"}, "pieces is 'bpe'"),
    ({"lowercase": 3}, "lowercase is 3"),
    ({"moses": "false"}, "moses is 'false'"),
    ({"source": "a/b"}, "language 'a/b'"),
    ({"source": ".."}, "language '..'"),
    ({"max_source_positions": "1024"}, "max_source_positions is '1024'"),
    ({"max_source_positions": 1}, "max_source_positions is 1"),
    ({"max_source_positions": True}, "max_source_positions is True"),
    ({"max_target_positions": None}, "max_target_positions is None"),
    ({"columns": -3}, "columns is -3"),
    ({"int8": 1}, "int8 is 1"),
    ({"files": 5}, "'int' object is not iterable"),
    ({"more": 5}, "more"),
)


@pytest.mark.parametrize(("values", "message"), VALUES)
def test_a_description_that_no_export_writes_is_refused(values, message, words, tmp_path):
    shutil.copytree(words, tmp_path / "model")
    told(tmp_path / "model", **values)
    with pytest.raises(ValueError, match=f"{NOT_OURS} .*{message}"):
        Translator(str(tmp_path / "model"))


def test_pieces_are_those_of_the_folder_as_it_is_now(cut, tmp_path):
    """In one process, a folder that is written anew at the same place."""
    place = tmp_path / "model"
    shutil.copytree(cut, place)
    before = Translator(str(place))
    shutil.rmtree(place)
    assert before.translate(["der Hund"])[0].text is not None  # all is in memory
    shutil.copytree(cut, place)
    described(place, "spm.model", b"no model")
    with pytest.raises(ValueError, match=r"spm\.model is no model of sentencepiece"):
        Translator(str(place))
    with pytest.raises(ValueError, match="have different dictionaries or treat text differently"):
        Translator(str(cut), str(place))


def test_moses_needs_its_package_before_the_first_line(cut, monkeypatch):
    monkeypatch.setitem(sys.modules, "fairseq_bahdanau.portable.moses_as_perl", None)
    for made in (moses.tokenizer, moses.detokenizer):
        made.cache_clear()
    with pytest.raises(ValueError, match="Moses' tokens need sacremoses: pip install sacremoses"):
        Translator(str(cut))


def test_what_python_gives_is_checked(words, caplog):
    translator = Translator(str(words))
    with pytest.raises(TypeError, match="takes a list of lines"):
        translator.translate("a1 a2")
    (found,) = translator.translate(["a1 \ud83d a2"])
    assert "line 1: halves of characters (surrogates) are replaced by \ufffd" in caplog.text
    assert "1 of 3 source tokens are not in the dictionary" in caplog.text and found.source[1] == "\ufffd"
    for threads in (-1, 10**9):
        with pytest.raises(ValueError, match="--threads must be from 0 to 1024"):
            Translator(str(words), threads=threads)


def test_as_many_batches_as_threads_are_translated_at_once_and_lines_stay_in_order(words, monkeypatch):
    lines = ["a1 a2", "a3", "a2 a1 a3", "a1"] * 3
    wanted = Translator(str(words), threads=1).translate(lines)
    translator, meeting = Translator(str(words), threads=3), threading.Barrier(3, timeout=60)
    monkeypatch.setattr(
        translator.model, "encode", lambda given, encode=translator.model.encode: meeting.wait() >= 0 and encode(given)
    )
    found = translator.translate(lines, batch_size=2)  # six batches: three meet, and again
    assert [each.target for each in found] == [each.target for each in wanted]
    assert [each.score for each in found] == pytest.approx([each.score for each in wanted], abs=1e-5)


def test_a_line_of_many_parts_takes_the_memory_of_its_parts(words):
    """Not of all target tokens times all source tokens: 400,000,000 numbers here."""
    (found,) = Translator(str(words)).translate(["a2 " * 20000], beam=1, max_len_a=1, max_len_b=0)
    assert len(found.attention_of_parts) == 50
    assert sum(part.size for part in found.attention_of_parts) <= 50 * 402 * 401


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
    "--threads -1": "--threads must be from 0 to 1024, not -1",
    "--lenpen nan": "--lenpen must be from -100 to 100, not nan",
    "--lenpen 1000": "--lenpen must be from -100 to 100, not 1000.0",
    "--unkpen nan": "--unkpen must be from -inf to inf, not nan",
    "--max-len-a inf": "--max-len-a must be from 0 to 1e+06, not inf",
    "--max-len-b -500": "--max-len-b must be from 0 to 1e+09, not -500",
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
    assert "gone is no model of sentencepiece: " in refusal(capsys, tmp_path / "alone.pt", *given)
    told = refusal(capsys, checkpoint, "--output", out, "--data", data)
    assert told.startswith("--data: ") and told.endswith(
        "lies where a recipe trained it, and knows its data: leave it out"
    )
    told = refusal(capsys, tmp_path / "alone.pt", "--output", out, "--data", data, "--moses")
    assert told == "Moses' tokenisation is here for de, en, fr alone, not for 'xx'"
    write(tmp_path / "file", [])
    assert refusal(capsys, checkpoint, "--output", tmp_path / "file" / "out").startswith("--output ")
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
    told = refusal(capsys, pair / "model" / "averaged.pt", "--output", tmp_path / "out")
    assert told == f"--output {tmp_path}/out: No space left on device"
    assert not any(tmp_path.iterdir())


def test_a_checkpoint_without_a_recipe_is_told_how_text_is_treated(pair, data, tmp_path):
    shutil.copy(pair / "model" / "averaged.pt", tmp_path / "alone.pt")
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    export.main([str(tmp_path / "alone.pt"), "--output", str(tmp_path / "out"), "--data", str(data), "--lowercase"])
    (found,) = Translator(str(tmp_path / "real")).translate(["A1 a2 A3"])
    assert found.text == "b3 b2 b1"


def test_an_export_is_read_before_it_is_there(pair, tmp_path, monkeypatch, capsys):
    """What fairseq writes of a dictionary that repeats a word, no reader takes."""
    save = Dictionary.save

    def twice(self, path):
        save(self, path)
        if isinstance(path, str):  # and not the file that it opens
            words = Path(path).read_text().splitlines()
            write(Path(path), [*words, words[0]])

    monkeypatch.setattr(Dictionary, "save", twice)
    told = refusal(capsys, pair / "model" / "averaged.pt", "--output", tmp_path / "out")
    assert told == f"cannot be exported: {tmp_path}/out/dict.xx.txt has a word twice"
    assert not any(tmp_path.iterdir())


def test_a_part_ends_between_words():
    """A full stop within a number is no end of a sentence."""
    tokens = ["▁a"] * 7 + ["▁3", ".", "5"] + ["▁b"] * 4
    assert portable_lines.cut(tokens, 10, in_pieces=True) == [tokens[:10], tokens[10:]]
    assert portable_lines.cut(["x", ".", "y"] * 3, 4, in_pieces=False)[0] == ["x", ".", "y", "x"][:4]


def test_a_piece_of_a_lines_end_makes_no_line(cut):
    class Pieces:
        def decode(self, tokens):
            return "\n".join(tokens)

    text = folders.read_description(str(cut)).text._replace(moses=False)
    assert portable_lines.decode_line("a b", text, Pieces()) == "a b"
