"""fairseq_bahdanau.text: what is read is what was written, and what is written is whole or not there."""

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fairseq_bahdanau import text

RECIPES = Path(text.__file__).parents[1] / "recipes"
LINES = [
    (b"", []),
    (b"\n", [""]),
    (b"one", ["one"]),
    (b"one\n", ["one"]),
    (b"one\n\ntwo\n\n", ["one", "", "two", ""]),
    (b"one\r\ntw\ro\n", ["one ", "tw o"]),
    ("ä\u2028b\x0b\x0c\x1c\x85\n天\n".encode(), ["ä\u2028b\x0b\x0c\x1c\x85", "天"]),
    (b" \t one\x00 \n", [" \t one\x00 "]),
]


@pytest.mark.parametrize(("content", "wanted"), LINES)
def test_lines_are_cut_at_line_feeds_alone(tmp_path, monkeypatch, content, wanted):
    (tmp_path / "a").write_bytes(content)
    assert text.read_lines(str(tmp_path / "a")) == list(text.stream_lines(str(tmp_path / "a"))) == wanted
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert text.read_lines("-") == wanted
    text.write_lines(str(tmp_path / "b"), wanted)
    assert text.read_lines(str(tmp_path / "b")) == wanted


def test_lines_are_read_as_they_are_needed():
    taken = []
    file = (taken.append(number) or b"x\n" for number in range(100))
    assert next(text.decode_lines(file, "a")) == "x" and taken == [0]


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "latin").write_bytes("Strasse\nStraße\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin is not UTF-8 text, at byte 12$"):
        text.read_lines(str(tmp_path / "latin"))
    assert text.read_lines(str(tmp_path / "latin"), errors="replace") == ["Strasse", "Stra\ufffde"]
    with pytest.raises(ValueError, match=r"cannot read .*gone: No such file"):
        text.read_lines(str(tmp_path / "gone"))


def test_parallel_lines(tmp_path):
    paths = [str(tmp_path / name) for name in "abc"]
    for path, lines in zip(paths, (["1", "2"], ["x\u2028", ""], ["", "y"])):
        text.write_lines(path, lines)
    assert list(text.stream_parallel_lines(paths)) == [("1", "x\u2028", ""), ("2", "", "y")]
    text.write_lines(paths[1], ["x"])
    with pytest.raises(ValueError, match=r"b ends after 1 lines, but .*a and .*c goes on"):
        list(text.stream_parallel_lines(paths))
    text.require_same_number_of_lines("a", "xy", "b", [1, 2])
    with pytest.raises(ValueError, match=r"^a has 2 lines, but b has 1$"):
        text.require_same_number_of_lines("a", "xy", "b", [1])


@pytest.mark.parametrize("error", [None, ZeroDivisionError, KeyboardInterrupt])
def test_files_appear_together_or_not_at_all(tmp_path, error):
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    with contextlib.suppress(KeyboardInterrupt, ZeroDivisionError):
        with text.writing(*(str(tmp_path / name) for name in "abc")) as files:
            for file in files:
                file.write("天\n")
            assert (tmp_path / "a").read_text() == "old" and not (tmp_path / "c").exists()
            if error is not None:
                raise error
    found = {path.name: path.read_bytes().decode() for path in tmp_path.iterdir()}
    assert found == ({"a": "old", "b": "old"} if error else dict.fromkeys("abc", "天\n"))


def test_a_library_is_given_a_name(tmp_path):
    with text.part_names(str(tmp_path / "a")) as (part,):
        Path(part).write_bytes(b"\x00new")
        assert not (tmp_path / "a").exists()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"\x00new"}
    with pytest.raises(FileNotFoundError), text.part_names(str(tmp_path / "b")):
        pass  # nothing was written


def test_an_interrupted_process_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "a").write_text("old\n")
    program = (
        f"import sys, time; sys.path.insert(0, {str(RECIPES)!r}); import without_fairseq\n"
        "from fairseq_bahdanau import text\n"
        "with text.writing(sys.argv[1]) as (file,):\n"
        "    file.write('half'); file.flush(); print('written', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout.readline() == b"written\n" and (tmp_path / "a.part").read_text() == "half"
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) != 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old\n"}


NAMED = [
    ([], {}),
    (["a=x"], {"a": "x"}),
    (["b=x,y", "a=1=2"], {"b": "x,y", "a": "1=2"}),
    (["a"], "--run a: must be NAME=DIR"),
    (["a="], "--run a=: must be NAME=DIR"),
    (["=x"], "--run =x: must be NAME=DIR"),
    (["a=x", "a=y"], "--run a=y: the name a is given twice"),
]


@pytest.mark.parametrize(("given", "wanted"), NAMED)
def test_named_values(given, wanted):
    if type(wanted) is dict:
        assert list(text.named_values("--run", given, "NAME=DIR").items()) == list(wanted.items())
    else:
        with pytest.raises(ValueError, match=f"^{wanted}$"):
            text.named_values("--run", given, "NAME=DIR")


TABLES = [
    (["a"], [], ["| a |", "|---|"]),
    (["", "b"], [["x", 1]], ["|  | b |", "|---|---|", "| x | 1 |"]),
    (["a", "b"], [("x", ""), (2.5, None)], ["| a | b |", "|---|---|", "| x |  |", "| 2.5 | None |"]),
]


@pytest.mark.parametrize(("head", "rows", "wanted"), TABLES)
def test_markdown_table(head, rows, wanted):
    assert text.markdown_table(head, iter(rows)) == wanted
