"""fairseq_bahdanau.text: what is read is what was written, and what is written is whole or not there."""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from fairseq_bahdanau import tables, text

RECIPES = Path(text.__file__).parents[1] / "recipes"
LINES = [
    (b"", []),
    (b"\n", [""]),
    (b"one", ["one"]),
    (b"one\n", ["one"]),
    (b"one\n\ntwo\n\n", ["one", "", "two", ""]),
    (b"one\r\ntw\ro\n", ["one", "tw o"]),
    (b"one\r\n\r\n\xef\xbb\xbf\r", ["one", "", "\ufeff "]),
    (b"\xef\xbb\xbfone\n", ["one"]),
    (b"\xef\xbb\xbf", [""]),
    ("ä\u2028b\x0b\x0c\x1c\x85\n天\n".encode(), ["ä\u2028b\x0b\x0c\x1c\x85", "天"]),
    (b" \t one\x00 \n", [" \t one\x00 "]),
]


@pytest.mark.parametrize(("content", "wanted"), LINES)
def test_lines_are_cut_at_line_feeds_alone(tmp_path, monkeypatch, content, wanted):
    (tmp_path / "a").write_bytes(content)
    assert text.read_lines(str(tmp_path / "a")) == list(text.stream_lines(str(tmp_path / "a"))) == wanted
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    assert text.read_lines("-") == wanted
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    assert text.read_lines(str(tmp_path / "a.gz")) == wanted
    text.write_lines(str(tmp_path / "b"), wanted)
    assert text.read_lines(str(tmp_path / "b")) == wanted


def test_lines_are_read_as_they_are_needed():
    taken = []
    file = (taken.append(number) or b"x\n" for number in range(100))
    assert next(text.decode_lines(file, "a")) == "x" and taken == [0]


UMLAUTS = "Strasse\nStraße\n"
UNREADABLE = [  # name, content, the complaint after the name; with errors="replace", too
    ("latin", UMLAUTS.encode("latin-1"), ", line 2: not UTF-8 text, at byte 12$", False),
    ("chinese", "\n\n天\n".encode("gb18030"), ", line 3: not UTF-8 text, at byte 2$", False),
    ("half", UMLAUTS.encode()[:-2], None, False),
    ("utf16", UMLAUTS.encode("utf-16"), " is UTF-16 text: iconv", True),
    ("utf16be", b"\xfe\xff" + UMLAUTS.encode("utf-16-be"), " is UTF-16 text: iconv", True),
    ("utf16nomark", UMLAUTS.encode("utf-16-le"), " has a NUL byte in every other place", True),
    ("utf32", UMLAUTS.encode("utf-32"), " is UTF-16 text|NUL byte", True),
    ("gzip", gzip.compress(UMLAUTS.encode()), r" is compressed by gzip: .*\.gz", True),
    ("bzip2", bz2.compress(UMLAUTS.encode()), " is compressed by bzip2", True),
    ("xz", lzma.compress(UMLAUTS.encode()), " is compressed by xz", True),
    ("plain.gz", UMLAUTS.encode(), ": not a whole gzip file", True),
    ("short.gz", gzip.compress(UMLAUTS.encode())[:-6], ": not a whole gzip file", True),
    ("spoilt.gz", gzip.compress(UMLAUTS.encode() * 99)[:20] + b"\xff" * 40, ": not a whole gzip file", True),
]


@pytest.mark.parametrize(("name", "content", "wanted", "always"), UNREADABLE, ids=[row[0] for row in UNREADABLE])
def test_what_is_no_text_is_named_with_file_and_line(tmp_path, monkeypatch, name, content, wanted, always):
    path = tmp_path / name
    path.write_bytes(content)
    for errors in ("strict", "replace") if always else ("strict",):
        if wanted is not None:
            with pytest.raises(ValueError, match=f"{path}({wanted})"):
                text.read_lines(str(path), errors)
    if wanted is not None and not name.endswith(".gz"):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))
        with pytest.raises(ValueError, match=f"^standard input({wanted})"):
            text.read_lines("-")


def test_bytes_that_are_replaced_are_reported(tmp_path, capsys):
    (tmp_path / "latin").write_bytes(UMLAUTS.encode("latin-1"))
    assert text.read_lines(str(tmp_path / "latin"), errors="replace") == ["Strasse", "Stra\ufffde"]
    assert capsys.readouterr().err == f"{tmp_path / 'latin'}, line 2: bytes that are not UTF-8 are replaced by \ufffd\n"


def test_what_is_not_there_is_named(tmp_path):
    for name, wanted in (("gone", "No such file"), ("gone.gz", "No such file"), ("", "Is a directory")):
        with pytest.raises(ValueError, match=f"cannot read {tmp_path / name}: {wanted}"):
            text.read_lines(str(tmp_path / name))


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


def test_two_processes_do_not_write_one_file(tmp_path):
    """The second says so, and the first is not disturbed; a part that a killed one has left is no hindrance."""
    path = str(tmp_path / "a")
    (tmp_path / "a.part").write_text("of a process that was killed, and longer than what comes now")
    with text.writing(path) as (file,):
        file.write("first\n")
        for _ in range(2):
            with pytest.raises(ValueError, match="a is being written by another process"):
                text.write_lines(path, ["second"])
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"a": "first\n"}
    text.write_lines(path, ["second"])
    assert text.read_lines(path) == ["second"]


def test_an_interrupted_process_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "a").write_text("old\n")
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell may have it ignored
        "import sys, time\n"
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
        assert list(tables.named_values("--run", given, "NAME=DIR").items()) == list(wanted.items())
    else:
        with pytest.raises(ValueError, match=f"^{wanted}$"):
            tables.named_values("--run", given, "NAME=DIR")


TABLES = [
    (["a"], [], ["| a |", "|---|"]),
    (["", "b"], [["x", 1]], ["|  | b |", "|---|---|", "| x | 1 |"]),
    (["a", "b"], [("x", ""), (2.5, None)], ["| a | b |", "|---|---|", "| x |  |", "| 2.5 | None |"]),
]


@pytest.mark.parametrize(("head", "rows", "wanted"), TABLES)
def test_markdown_table(head, rows, wanted):
    assert tables.markdown_table(head, iter(rows)) == wanted
