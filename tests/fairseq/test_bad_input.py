"""python -m fairseq_bahdanau COMMAND with every bad input: one line names the flag or the file; nothing is written.

fairseq's commands run in this process, so that a case costs a fraction of a second.
"""

import logging
import re
import shutil
import sys

import pytest
from fairseq_cli import generate, interactive
from support import lines, write

from fairseq_bahdanau.__main__ import main
from fairseq_bahdanau.complaints import SHOW
from fairseq_bahdanau.guards import preflight

TRAIN = [
    *("--arch bigru_bahdanau_maxout --encoder-embed-dim 4 --encoder-hidden-size 4 --decoder-embed-dim 4 "
      "--decoder-hidden-size 4 --attention-dim 4 --maxout-dim 4 --optimizer adam --cpu --max-update 1 --num-workers 0 "
      "--required-batch-size-multiple 1").split()
]  # fmt: skip
BATCH = ["--batch-size", "32"]
PREPROCESS = ["-s", "xx", "-t", "yy", "--destdir", "{out}/bin"]
VALID = [*PREPROCESS, "--trainpref", "{corpus}/valid"]
SEARCH = ["--cpu", "--beam", "2", "--path", "{checkpoint}", "--required-batch-size-multiple", "1"]
VALIDATE = ["--cpu", "--path", "{checkpoint}"]
DATA = ["{data}", *TRAIN, *BATCH]
FOUND = ["{data}", *SEARCH]
INPUT = ["{data}", *SEARCH, "--input", "{corpus}/test.xx"]


def run(command, *given):
    """Runs a command of fairseq here; returns its exit code."""
    sys.argv = ["python -m fairseq_bahdanau", command, *given]
    try:
        main()
    except SystemExit as ended:
        return ended.code
    return 0


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """What the commands change of this process is set back: arguments, environment, folder, fairseq's reader."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(logging.root, "handlers", [])  # a command writes to the stream of the one before
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.delenv(SHOW, raising=False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)  # tests of the kernels set it
    monkeypatch.setattr(interactive, "buffered_read", interactive.buffered_read)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def bad(corpus, data, tmp_path_factory):
    """Folders of data with one thing wrong, files, and a checkpoint, by their names."""
    place = tmp_path_factory.mktemp("bad")

    def damaged(name, remove=(), empty=(), **more):
        folder = shutil.copytree(data, place / name)
        for file in (*remove, *empty):
            (folder / file).unlink()
        for file in empty:
            (folder / file).touch()
        return folder

    both = [f"test.xx-yy.xx.{ending}" for ending in ("bin", "idx")]
    damaged("nodict", ["dict.yy.txt"])
    damaged("emptydict", empty=["dict.yy.txt"])
    damaged("notest", both)
    damaged("notrain", [file.replace("test", "train") for file in both])
    damaged("novalid", [file.replace("test", "valid") for file in both])
    damaged("emptyindex", empty=["test.xx-yy.xx.idx", "train.xx-yy.xx.idx"])
    (place / "folder").mkdir()
    (place / "empty").touch()
    write(place / "file", ["a b"])
    for name, content in (
        ("latin", "Straße\n".encode("latin-1")),
        ("utf16", "ab\n".encode("utf-16")),
        ("bom", b"\xef\xbb\xbfa b\nc\n"),
        ("return", b"a\r\nb\rc\n"),
        ("short", b"a\n"),
    ):
        (place / f"{name}.xx").write_bytes(content)
        (place / f"{name}.yy").write_bytes(b"a\nb\n" if content.count(b"\n") == 2 or name == "short" else b"a\n")
    assert run("train", str(data), *TRAIN, *BATCH, "--save-dir", str(place / "saved"), "--no-epoch-checkpoints") == 0
    return {"bad": place, "data": data, "corpus": corpus, "checkpoint": place / "saved" / "checkpoint_last.pt"}


CASES = [
    # command, its options, what the line holds
    ("preprocess", ["-t", "yy", "--trainpref", "{corpus}/train"], "--source-lang and --target-lang are required"),
    ("preprocess", [*PREPROCESS, "--trainpref", "{bad}/gone"], "{bad}/gone.xx: No such file or directory"),
    ("preprocess", [*PREPROCESS, "--trainpref", "{bad}/latin"], "{bad}/latin.xx, line 1: not UTF-8 text, at byte 4"),
    ("preprocess", [*PREPROCESS, "--trainpref", "{bad}/utf16"], "{bad}/utf16.xx is UTF-16 text: iconv"),
    ("preprocess", [*PREPROCESS, "--trainpref", "{bad}/bom"], "{bad}/bom.xx begins with a byte order mark"),
    ("preprocess", [*PREPROCESS, "--trainpref", "{bad}/return"], "{bad}/return.xx, line 2: a carriage return"),
    ("preprocess", [*PREPROCESS, "--trainpref", "{bad}/short"], "{bad}/short.xx ends after 1 lines, but {bad}/"),
    ("preprocess", [*VALID, "--validpref", "{corpus}/test,{bad}/gone"], "{bad}/gone.xx"),
    ("preprocess", [*VALID, "--testpref", "{bad}/bom"], "{bad}/bom.xx"),
    ("preprocess", [*VALID, "--srcdict", "{bad}/gone"], "{bad}/gone: No such file"),
    ("preprocess", [*VALID, "--srcdict", "{bad}/file"], "Incorrect dictionary format"),
    ("preprocess", ["--only-source", "--trainpref", "{bad}/bom.xx", "--destdir", "{out}/x"], "{bad}/bom.xx begins"),
    ("preprocess", [*PREPROCESS], "--trainpref must be set"),
    ("preprocess", [*VALID, "--destdir", "{bad}/file"], "--destdir {bad}/file: is there"),
    ("preprocess", [*VALID, "--destdir", "/dev/full"], "--destdir /dev/full: is there"),
    ("preprocess", [*VALID, "--workers", "0"], "--workers must be at least 1, not 0"),
    ("preprocess", [*VALID, "--workers", "x"], "argument --workers: invalid int"),
    ("preprocess", [*VALID, "--no-such"], "unrecognized arguments: --no-such"),
    ("preprocess", [*VALID, "--user-dir", "{bad}/gone"], "--user-dir: no such file"),
    ("train", [*TRAIN, *BATCH], "the following arguments are required: data"),
    ("train", ["{bad}/gone", *TRAIN, *BATCH], "DATA: no such folder: {bad}/gone"),
    ("train", ["{bad}/file", *TRAIN, *BATCH], "DATA: no such folder: {bad}/file"),
    ("train", ["{bad}/folder", *TRAIN, *BATCH], "DATA: no file in {bad}/folder tells its languages"),
    ("train", ["{bad}/nodict", *TRAIN, *BATCH], "{bad}/nodict/dict.yy.txt: No such file"),
    ("train", ["{bad}/emptydict", *TRAIN, *BATCH], "the sets and the dictionaries of {bad}/emptydict do not belong"),
    ("train", ["{bad}/notrain", *TRAIN, *BATCH], "{bad}/notrain has no set 'train' of these languages"),
    ("train", ["{bad}/novalid", *TRAIN, *BATCH], "{bad}/novalid has no set 'valid' of these languages"),
    ("train", ["{bad}/emptyindex", *TRAIN, *BATCH], "a file of {bad}/emptyindex is damaged"),
    ("train", [*DATA, "-s", "xx", "-t", "qq"], "{data}/dict.qq.txt: No such file"),
    ("train", [*DATA, "--valid-subset", "no"], "{data} has no set 'no' of these languages"),
    ("train", ["{data}", *TRAIN], "give --max-tokens N or --batch-size N"),
    ("train", ["{data}", *TRAIN, "--max-tokens", "1"], "no sentence that fits --max-tokens 1, --max-source-positions"),
    ("train", ["{data}", *TRAIN, "--max-tokens", "0"], "--max-tokens must be at least 1, not 0"),
    ("train", ["{data}", *TRAIN, "--max-tokens", "x"], "argument --max-tokens: invalid int value: 'x'"),
    ("train", ["{data}", *TRAIN, "--batch-size", "-1"], "--batch-size must be at least 1, not -1"),
    ("train", [*DATA, "--num-workers", "-1"], "--num-workers must be at least 0, not -1"),
    ("train", [*DATA, "--arch", "no"], "argument --arch/-a: invalid choice: 'no'"),
    ("train", [*DATA, "--lr", "x"], "argument --lr: invalid"),
    ("train", [*DATA, "--dropout", "2"], "--dropout must be at least 0 and less than 1, not 2.0"),
    ("train", [*DATA, "--fp16"], "--fp16 without a GPU: fairseq fails: leave it out"),
    ("train", [*DATA, "--amp"], "--amp without a GPU changes nothing: leave it out"),
    ("train", [*DATA, "--recurrence", "triton"], "--recurrence triton needs a GPU, and Triton"),
    ("train", [*DATA, "--save-dir", "{bad}/file"], "--save-dir {bad}/file: is there, and no folder"),
    ("train", [*DATA, "--save-dir", "/dev/full/x"], "/dev/full/x: Not a directory"),
    ("train", [*DATA, "--restore-file", "{bad}/gone"], "--restore-file {bad}/gone: no such file"),
    ("train", [*DATA, "--lr-scheduler", "polynomial_decay"], "--lr-scheduler polynomial_decay needs --total-num"),
    ("train", [*DATA, "--log-file", "{bad}/folder"], "{bad}/folder: Is a directory"),
    ("train", [*DATA, "--best-checkpoint-metric", "no"], "--best-checkpoint-metric no: a validation has"),
    ("train", [*DATA, "--num-batch-buckets", "2"], "--num-batch-buckets, and --sample-break"),
    ("train", [*DATA, "--user-dir", "{bad}/gone"], "--user-dir: no such file or folder: {bad}/gone"),
    ("validate", ["{data}", *VALIDATE], "give --max-tokens N or --batch-size N"),
    ("validate", ["{data}", *BATCH], "--path CHECKPOINT is required"),
    ("validate", ["{data}", *BATCH, *VALIDATE, "--bf16"], "--bf16: fairseq ignores it here: give --fp16"),
    ("generate", [*FOUND, "--bf16"], "--bf16: fairseq ignores it here: give --fp16"),
    ("interactive", [*FOUND, "--memory-efficient-bf16"], "--bf16: fairseq ignores it here: give --fp16"),
    ("validate", ["{data}", *BATCH, "--path", "{bad}/gone"], "--path {bad}/gone: no such file"),
    ("validate", ["{bad}/gone", *BATCH, *VALIDATE], "DATA: no such folder: {bad}/gone"),
    ("validate", ["{data}", *BATCH, *VALIDATE, "--valid-subset", "no"], "{data} has no set 'no'"),
    ("validate", ["{data}", "--max-tokens", "2", *VALIDATE], "--max-tokens 2: a sentence is longer: give"),
    ("generate", ["{bad}/gone", *SEARCH], "DATA: no such folder: {bad}/gone"),
    ("generate", ["{bad}/folder", *SEARCH], "DATA: no file in {bad}/folder tells its languages"),
    ("generate", ["{bad}/nodict", *SEARCH], "{bad}/nodict/dict.yy.txt: No such file"),
    ("generate", ["{bad}/notest", *SEARCH], "{bad}/notest has no set 'test' of these languages"),
    ("generate", ["{bad}/emptyindex", *SEARCH], "a file of {bad}/emptyindex is damaged"),
    ("generate", ["{data}", "--cpu"], "--path CHECKPOINT is required"),
    ("generate", ["{data}", "--cpu", "--path", ""], "--path CHECKPOINT is required"),
    ("generate", ["{data}", "--cpu", "--path", "{bad}/gone"], "--path {bad}/gone: no such file"),
    ("generate", ["{data}", "--cpu", "--path", "{checkpoint}:{bad}/gone"], "--path {checkpoint}:{bad}/gone: no"),
    ("generate", ["{data}", "--cpu", "--path", "{bad}/folder"], "--path {bad}/folder: no such file"),
    ("generate", [*FOUND, "-s", "xx", "-t", "qq"], "{data}/dict.qq.txt: No such file"),
    ("generate", [*FOUND, "--gen-subset", "no"], "{data} has no set 'no' of these languages"),
    ("generate", [*FOUND, "--max-tokens", "2"], "--max-tokens 2: a sentence is longer: give"),
    ("generate", [*FOUND, "--batch-size", "0"], "--batch-size must be at least 1, not 0"),
    ("generate", [*FOUND, "--beam", "0"], "--beam must be at least 1, not 0"),
    ("generate", [*FOUND, "--nbest", "3"], "--nbest must be from 1 to --beam, which is 2, not 3"),
    ("generate", [*FOUND, "--nbest", "0"], "--nbest must be from 1 to --beam, which is 2, not 0"),
    ("generate", [*FOUND, "--min-len", "500"], "min_len cannot be larger than max_len"),
    ("generate", [*FOUND, "--num-shards", "2"], "--num-shards and --shard-id: fairseq ignores them here"),
    ("generate", [*FOUND, "--shard-id", "1"], "--num-shards and --shard-id: fairseq ignores them here"),
    ("generate", [*FOUND, "--constraints"], "--constraints: fairseq-generate has no way to read them"),
    ("generate", [*FOUND, "--lm-path", "{bad}/gone"], "--lm-path {bad}/gone: no such file"),
    ("generate", [*FOUND, "--model-overrides", "3"], "--model-overrides 3: must be a dict of Python"),
    ("generate", [*FOUND, "--model-overrides", "{{"], "--model-overrides {{: must be a dict of Python"),
    ("generate", [*FOUND, "--results-path", "{bad}/file"], "--results-path {bad}/file: is there, and no folder"),
    ("generate", [*FOUND, "--bpe", "sentencepiece"], "--bpe sentencepiece: sentencepiece_model is missing"),
    ("generate", [*FOUND, "--bpe", "sentencepiece", "--sentencepiece-model", "{bad}/gone"], "{bad}/gone not found"),
    ("generate", [*FOUND, "--tokenizer", "moses"], "--tokenizer moses: also give --source-lang"),
    ("generate", [*FOUND, "--post-process", "no"], "Unknown post_process option: no"),
    ("interactive", ["{bad}/gone", *SEARCH], "DATA: no such folder: {bad}/gone"),
    ("interactive", ["{data}", "--cpu"], "--path CHECKPOINT is required"),
    ("interactive", [*FOUND, "--input", "{bad}/gone"], "cannot read {bad}/gone: No such file"),
    ("interactive", [*FOUND, "--input", "{bad}/folder"], "cannot read {bad}/folder: Is a directory"),
    ("interactive", [*FOUND, "--input", "{bad}/latin.xx"], "{bad}/latin.xx, line 1: not UTF-8 text, at byte 4"),
    ("interactive", [*INPUT, "--max-tokens", "1"], "--max-tokens 1: a sentence is longer"),
    ("interactive", [*INPUT, *BATCH], "--batch-size 32: at most --buffer-size, which is 0"),
    ("interactive", [*INPUT, "--sampling"], "--sampling: --nbest must be equal to --beam"),
    ("interactive", [*INPUT, "--lm-path", "x"], "--lm-path: fairseq-interactive ignores it"),
    ("interactive", [*INPUT, "--prefix-size", "1"], "--prefix-size: fairseq-interactive ignores it"),
    ("interactive", [*INPUT, "--score-reference"], "--score-reference: fairseq-interactive ignores it"),
    ("interactive", [*INPUT, "--results-path", "x"], "--results-path: fairseq-interactive ignores it"),
    ("interactive", [*INPUT, "--num-shards", "2"], "--num-shards and --shard-id: fairseq ignores"),
    ("hydra-train", [], "Must specify batch size"),
    ("hydra-train", ["task.data={data}"], "Could not override 'task.data'"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "given", "wanted"), CASES, ids=lambda value: value if type(value) is str else "")
def test_one_line_names_what_is_wrong(command, given, wanted, bad, tmp_path, capfd):
    names = {**bad, "out": tmp_path}
    code = run(command, *(word.format_map(names) for word in given))
    printed = capfd.readouterr()
    assert code not in (0, None) and "Traceback" not in printed.out + printed.err
    said = printed.err.splitlines()
    (complaint,) = [line for line in said if line.startswith(f"fairseq-{command}: error: ")]
    assert complaint == said[-1] and wanted.format_map(names) in complaint
    # fairseq writes the state of a training that fails at a batch into crash.pt.
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert command == "hydra-train" or {name.split("/")[-1] for name in left} <= {"preprocess.log", "crash.pt"}


def test_a_command_that_is_none(capfd):
    assert run("translate").endswith("[fairseq's options], not 'translate'")


def test_right_input_is_taken(bad, capfd):
    """Also validate without --task; and interactive reads text as the recipes do, one line for each."""
    data, checkpoint = str(bad["data"]), str(bad["checkpoint"])
    search = [word.format_map(bad) for word in SEARCH]
    assert run("validate", data, *BATCH, "--cpu", "--path", checkpoint) == 0
    assert "valid on 'valid' subset" in capfd.readouterr().out
    assert run("train", data, *TRAIN, *BATCH, "--no-save", "--memory-efficient-fp16") == 0
    text = str(bad["corpus"] / "valid.xx")  # of a language model
    assert run("preprocess", "--only-source", "--trainpref", text, "--destdir", str(bad["bad"] / "only")) == 0
    source = bad["bad"] / "odd.xx"
    source.write_bytes(b"\xef\xbb\xbfa1 a2\r\na3\ra4\n\na5\xe2\x80\xa8a6\n")
    capfd.readouterr()
    assert run("interactive", data, *search, "--input", str(source)) == 0
    shown = [line for line in capfd.readouterr().out.splitlines() if line.startswith("S-")]
    assert shown == ["S-0\ta1 a2", "S-1\ta3 a4", "S-2\t", "S-3\ta5 a6"]


def test_what_is_refused_would_not_have_been_done(bad, capfd):
    """fairseq-generate with --num-shards translates everything in every shard, and fairseq-train --fp16 --cpu fails."""
    capfd.readouterr()
    sys.argv = ["fairseq-generate", str(bad["data"]), *(word.format_map(bad) for word in SEARCH), "--num-shards", "3",
                "--shard-id", "1"]  # fmt: skip
    generate.cli_main()
    found = [line for line in capfd.readouterr().out.splitlines() if line.startswith("H-")]
    assert len(found) == len(lines(bad["corpus"] / "test.xx"))


def test_every_refusal_and_every_advice_is_tried():
    """A row of a table in preflight.py that no case above meets would be one that nobody has seen."""
    wanted = " ".join(text for _, _, text in CASES)
    for said in [refusal.reason for refusal in preflight.REFUSALS] + [advice for _, advice in preflight.ADVICE]:
        parts = [part.strip()[:10] for part in re.split(r"\{\w*\}", said)]
        assert any(len(part) == 10 and part in wanted for part in parts), said
