"""recipes/translate.sh: raw text in, raw text out, whatever the text."""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import termios

import pytest
from hostile_text import ODD, hostile_lines
from support import ROOT, environment, translate

from fairseq_bahdanau.portable import lines as lines_of_text

sys.path.insert(0, str(ROOT / "recipes"))
import translate as program


@pytest.fixture
def translated(pair, tmp_path, capfdbinary):
    """A function that translates bytes in this process; returns the lines of both outputs."""

    def run(text: bytes, *flags, checkpoint=pair / "model" / "averaged.pt"):
        (tmp_path / "input").write_bytes(text)
        program.run(str(checkpoint), ["--cpu", "--input", str(tmp_path / "input"), *map(str, flags)])
        printed, said = capfdbinary.readouterr()
        return printed.decode().split("\n")[:-1], said.decode().split("\n")[:-1]

    return run


def test_every_line_has_its_translation(pair):
    """As a user runs it; the model writes backwards."""
    printed = translate(pair / "model" / "averaged.pt", b"\n".join(ODD))
    found = printed.decode().split("\n")
    assert found.pop() == "" and len(found) == len(ODD)
    assert found[0] == "b3 b2 b1" and found[8] == "b3"
    assert found[1] == found[2] == ""
    assert found[3] == "b5 b4" and "b6" in found[4]
    assert translate(pair / "model" / "averaged.pt", b"") == b""


def test_what_changes_a_text_is_said(translated, tmp_path):
    found, said = translated(b"\n".join(ODD), "--max-len-a", "0", "--max-len-b", "2")
    assert len(found) == len(ODD)
    told = [line for line in said if not line.startswith("INFO")]
    assert told[:2] == [
        f"{tmp_path / 'input'}, line 6: bytes that are not UTF-8 are replaced by \ufffd",
        "translate.py: line 8 has 1001 tokens: translated in 3 parts",
    ]
    limited = "its translation reached the limit of 2 tokens (--max-len-a 0 --max-len-b 2): it may be cut"
    assert {f"line 8, part {part}: {limited}" for part in (1, 2)} <= set(told)
    assert told[-1] == "translate.py: 5 of 1015 source tokens are not in the dictionary: the model reads <unk>"


def test_a_byte_order_mark_and_crlf_are_no_words(translated):
    assert translated(b"\xef\xbb\xbfa1 a2\r\na3\r\n")[0] == ["b2 b1", "b3"]


def test_no_word_acts_as_a_control_symbol(translated):
    """Were </s> an end, what stands behind it would be lost."""
    for word in ("</s>", "<s>", "<pad>", "<unk>"):
        (found,), _ = translated(f"a1 {word} a2\n".encode(), "--beam", "1")
        assert found == translated(b"a1 unknown a2\n", "--beam", "1")[0][0]
        assert found.split()[0] == "b2" and found.split()[-1] == "b1"


CUTS = [  # pieces, greatest length, whether they are pieces of words, the lengths of the parts
    ("", 4, False, []),
    ("a b c d", 4, False, [4]),
    ("a b c d e", 4, False, [4, 1]),
    ("a b c . e f", 4, False, [4, 2]),
    ("a b . d e f", 4, False, [3, 3]),
    ("a . c d e f", 4, False, [4, 2]),  # a part is no shorter than half
    ("▁a b ▁c d e ▁f", 4, True, [2, 4]),
    ("▁a b ▁c ! ▁e ▁f", 4, True, [4, 2]),
    ("▁a b ▁c . e ▁f", 4, True, [2, 4]),  # within a number, as 3.5, no sentence ends
    ("▁a b c d e f", 4, True, [4, 2]),
]


@pytest.mark.parametrize(("pieces", "longest", "in_pieces", "wanted"), CUTS)
def test_long_lines_are_cut_where_a_reader_would(pieces, longest, in_pieces, wanted):
    parts = lines_of_text.cut(pieces.split(), longest, in_pieces)
    assert [len(part) for part in parts] == wanted and [piece for part in parts for piece in part] == pieces.split()


def test_unknown_words_are_copied_where_that_is_asked_for(translated, tmp_path):
    (tmp_path / "dictionary").write_text("Zebra Zebu\n")
    flags = ("--unkpen", "-20", "--max-len-a", "0", "--max-len-b", "3", "--beam", "2")
    plain, copied, looked_up = (
        translated(b"Zebra\n", *flags, *more)[0][0]
        for more in ([], ["--replace-unk"], ["--replace-unk", tmp_path / "dictionary"])
    )
    assert "<unk>" in plain.split()
    assert copied == plain.replace("<unk>", "Zebra") and looked_up == plain.replace("<unk>", "Zebu")


def test_options_of_fairseq_interactive(pair, translated, capfdbinary):
    checkpoint = pair / "model" / "averaged.pt"
    two = f"{checkpoint}:{checkpoint}"
    assert translated(b"a1 a2\n", "--beam", "2", "--buffer-size", "1", checkpoint=two)[0] == ["b2 b1"]
    for flags in (["--nbest", "2"], ["--constraints"], ["--path", "x"], ["--bpe", "sentencepiece"], ["-t", "zz"],
                  ["--post-process"], ["--results-path", "x"], ["--print-alignment"]):  # fmt: skip
        with pytest.raises(SystemExit) as stopped:
            translated(b"a1\n", *flags)
        name = {"-t": "--target-lang"}.get(flags[0], flags[0])
        *_, said = capfdbinary.readouterr().err.decode().splitlines()
        assert stopped.value.code == 2
        assert said == f"translate.py: error: {name} would have no effect here and is refused"
    for flags, wanted in (
        (["--sampling"], "--sampling: give --beam 1"),
        (["--model-overrides", "3"], "--model-overrides 3: must be a dictionary"),
        (["--replace-unk", "/gone"], "cannot read /gone: No such file"),
    ):
        with pytest.raises(ValueError, match=wanted):
            translated(b"a1\n", *flags)
    assert "translate.py: error: argument --beam: invalid" in translate(
        checkpoint, b"a1\n", "--beam", "x", succeeds=False
    )


DAMAGES = [
    ("text.json", "{", "text.json is not what a recipe writes"),
    ("text.json", '{"source": "xx"}', "text.json is not what a recipe writes"),
    ("text.json", None, "no folder above it has a text.json"),
    ("bin", None, "bin is missing: run the recipe's stage 'binarize'"),
    ("model/averaged.pt", None, "no such checkpoint"),
    ("model/averaged.pt", "x", "cannot load .*averaged.pt: "),
    ("bin/dict.xx.txt", None, "dict.xx.txt"),
]


@pytest.mark.parametrize(("name", "content", "wanted"), DAMAGES)
def test_a_damaged_folder_is_named(pair, tmp_path, name, content, wanted):
    copied = tmp_path / "xx-yy"
    shutil.copytree(pair, copied)
    path = copied / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=wanted):
        program.run(str(copied / "model" / "averaged.pt"), ["--cpu", "--input", os.devnull])


def test_text_streams_and_what_was_translated_is_not_lost(pair):
    """A block is answered while the input is still open; a failure later takes nothing back."""
    command = [sys.executable, ROOT / "recipes" / "translate.py", pair / "model" / "averaged.pt", "--cpu"]
    process = subprocess.Popen([*map(str, command), "--buffer-size", "2", "--max-tokens", "6"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())  # fmt: skip
    process.stdin.write(b"a1 a2\n\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"b2 b1\n" and process.stdout.readline() == b"\n"
    process.stdin.write(b"a3\na1 a2 a3 a4 a5 a6 a7\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"b3\n"
    process.kill()
    _, said = process.communicate()
    assert "line 4 has 7 tokens: translated in 2 parts" in said.decode()


def test_progress_is_shown_on_a_terminal_and_nowhere_else(pair, tmp_path, translated):
    (tmp_path / "many").write_text("a1 a2\n" * 3000)
    assert not any("lines/s" in line for line in translated(b"a1\n")[1])
    reads, writes = os.openpty()
    fcntl.ioctl(writes, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [sys.executable, ROOT / "recipes" / "translate.py", pair / "model" / "averaged.pt", "--cpu"]
    finished = subprocess.run([*map(str, command), "--input", str(tmp_path / "many")], stdout=subprocess.PIPE,
                              stderr=writes, env=environment(), check=True)  # fmt: skip
    os.close(writes)
    shown = b""
    with contextlib.suppress(OSError):  # a terminal that nobody writes to any more
        while block := os.read(reads, 1 << 16):
            shown += block
    os.close(reads)
    assert finished.stdout == b"b2 b1\n" * 3000
    assert b"3000 lines" in shown and b" lines/s]" in shown and shown.count(b"\r") >= 2


def check_hostile(run, count: int, longest: int) -> None:
    """Ordinary lines among hostile ones come out as when they are alone, and no line is lost."""
    hostile = hostile_lines(count, longest, seed=count)
    ordinary = [b"a1 a2 a3", b"a4", b"a7 a0 a5", b""]
    text = [line for number, line in enumerate(hostile) for line in (line, ordinary[number % 4])]
    found, _ = run(b"\n".join(text) + b"\n")
    assert len(found) == len(text)
    assert found[1::2] == [["b3 b2 b1", "b4", "b5 b0 b7", ""][number % 4] for number in range(len(hostile))]
    for line, translation in zip(hostile, found[::2]):
        assert bool(line.decode(errors="replace").split()) or not translation


def test_hostile_lines(translated):
    check_hostile(translated, 120, 900)


def check_hostile_pieces(run, checkpoint, count: int, longest: int) -> None:
    """Tokenised, lower-cased and cut into pieces: no line is lost, and an ordinary one is as when it is alone."""
    ordinary, flags = "Der Hund schläft.".encode(), ("--max-len-a", "0", "--max-len-b", "6", "--beam", "2")
    (alone,), _ = run(ordinary + b"\n", *flags, checkpoint=checkpoint)
    text = [line for hostile in hostile_lines(count, longest, seed=count) for line in (hostile, ordinary)]
    found, _ = run(b"\n".join(text) + b"\n", *flags, checkpoint=checkpoint)
    assert len(found) == len(text) and set(found[1::2]) == {alone} and alone


def test_hostile_lines_in_pieces(translated, pieces):
    check_hostile_pieces(translated, pieces / "model" / "averaged.pt", 60, 900)


@pytest.mark.slow
def test_ten_thousand_hostile_lines_in_pieces(translated, pieces):
    check_hostile_pieces(translated, pieces / "model" / "averaged.pt", 5000, 20000)


@pytest.mark.slow
def test_ten_thousand_hostile_lines(translated):
    check_hostile(translated, 5000, 20000)
