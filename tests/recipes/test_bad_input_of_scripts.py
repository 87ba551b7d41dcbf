"""The recipes' scripts and the tools of cli/ with every bad input: one line, an exit code, and nothing half-written."""

import os
import sys
from pathlib import Path

import pytest
from support import ROOT, write

from fairseq_bahdanau.cli import compare, length_curve, score_alignment
from fairseq_bahdanau.complaints import SHOW
from fairseq_bahdanau.text import require_replaceable

sys.path[:0] = [str(ROOT / "recipes"), str(ROOT / "recipes" / "quickstart")]
import generate  # noqa: E402
import score  # noqa: E402
import segment  # noqa: E402
import summary  # noqa: E402

SCORE = "--source {in}/three --reference {in}/three --hypotheses {out}/h --scores {out}/s --generated"
CURVE = "--source {in}/three --reference {in}/three --system x={in}/three --resamples 40"
ENCODE = "encode --model {in}/spm.model --workers 1 --input"
LINKS = "--gold {in}/links --hypothesis {in}/links"
SUMMARY = "--runs {in}/run --examples {in}/three --aligned"
COMPARE = "--output {out}/o --resamples 40 --run"

CASES = [
    # program, its options, the code, what the line holds
    (score, f"{SCORE} {{in}}/gone", 1, "score.py: cannot read {in}/gone: No such file or directory"),
    (score, f"{SCORE} {{in}}/folder", 1, "score.py: cannot read {in}/folder: Is a directory"),
    (score, f"{SCORE} {{in}}/latin", 1, "score.py: {in}/latin, line 2: not UTF-8 text"),
    (score, f"{SCORE} {{in}}/empty", 1, "score.py: {in}/empty has no hypotheses: no line of it begins with D-"),
    (score, f"{SCORE} {{in}}/three", 1, "score.py: {in}/three has no hypotheses"),
    (score, f"{SCORE} {{in}}/odd", 1, "score.py: {in}/odd, line 1: not a line of fairseq-generate"),
    (score, f"{SCORE} {{in}}/gap", 1, "score.py: {in}/gap has no hypothesis of sentence 1"),
    (score, f"{SCORE} {{in}}/two.txt", 1, "score.py: 2 hypotheses in {in}/two.txt, but 3 references in {in}/three"),
    (score, f"{SCORE} {{in}}/generated --reference {{in}}/gone", 1, "score.py: cannot read {in}/gone: No such file"),
    (score, f"{SCORE} {{in}}/generated --reference {{in}}/empty", 1, "but 0 references in {in}/empty"),
    (score, f"{SCORE} {{in}}/generated --source {{in}}/gone", 1, "score.py: --source {in}/gone: no such file"),
    (score, f"{SCORE} {{in}}/generated --scores {{in}}/three/s", 1, "{in}/three/s: Not a directory"),
    (score, f"{SCORE} {{in}}/generated --scores {{in}}/pipe", 1, "score.py: {in}/pipe cannot be written"),
    (score, f"{SCORE} {{in}}/generated --hypotheses {{in}}/folder", 1, "score.py: {in}/folder cannot be written"),
    (segment, f"{ENCODE} {{in}}/three --output {{in}}/pipe", 1, "segment.py: {in}/pipe cannot be written"),
    (length_curve, f"{CURVE} --plot {{out}}", 2, "error: --plot {out}: must end in .png, .svg or .pdf"),
    (score, f"{SCORE} {{in}}/generated --moses de", 2, "--moses LANG and --tokenized-reference FILE go together"),
    (score, f"{SCORE} {{in}}/generated --tokens --moses de --tokenized-reference {{in}}/three", 2, "give one"),
    (score, f"{SCORE} {{in}}/generated --tokenized-reference x", 2, "--moses LANG and --tokenized-reference FILE"),
    (score, f"{SCORE} {{in}}/generated --moses de --tokenized-reference {{in}}/gone", 1, "cannot read {in}/gone"),
    (segment, f"{ENCODE} {{in}}/gone --output {{out}}/o", 1, "segment.py: cannot read {in}/gone: No such file"),
    (segment, f"{ENCODE} {{in}}/latin --output {{out}}/o", 1, "segment.py: {in}/latin, line 2: not UTF-8 text"),
    (segment, f"{ENCODE} {{in}}/three {{in}}/two --output {{out}}/o {{out}}/p", 1, "{in}/two ends after 2 lines, but"),
    (segment, f"{ENCODE} {{in}}/three --output {{in}}/three/o", 1, "{in}/three/o: Not a directory"),
    (segment, f"{ENCODE} {{in}}/three --output {{out}}/o --model {{in}}/gone", 1, "{in}/gone is no model of "),
    (segment, f"{ENCODE} {{in}}/three --output {{out}}/o --model {{in}}/three", 1, "{in}/three is no model of "),
    (segment, f"{ENCODE} {{in}}/three --output {{out}}/o --model {{in}}/folder", 1, "{in}/folder is no model of "),
    (segment, f"{ENCODE} {{in}}/three --output {{out}}/o {{out}}/p", 2, "--input needs as many files as --output"),
    (segment, f"{ENCODE} {{in}}/three --output {{out}}/o --max-pieces 3", 2, "--max-pieces goes with --max-ratio"),
    (segment, f"{ENCODE} {{in}}/three --output {{out}}/o --refuse-longer 2", 1, "{in}/three, line 1 has "),
    (segment, f"{ENCODE} {{in}}/three --output {{out}}/o --max-pieces 3 --max-ratio 2 --refuse-longer 2", 2, "exclude"),
    (segment, f"{ENCODE} {{in}}/three --output {{out}}/o --workers 0", 2, "--workers must be at least 1, not 0"),
    (segment, f"{ENCODE} {{in}}/three --output {{out}}/o --workers x", 2, "argument --workers: invalid int value"),
    (segment, "train --input {in}/gone --prefix {out}/p --vocab-size 20", 1, "cannot read {in}/gone: No such file"),
    (segment, "train --input {in}/latin --prefix {out}/p --vocab-size 20", 1, "{in}/latin, line 2: not UTF-8 text"),
    (segment, "train --input {in}/empty --prefix {out}/p --vocab-size 20", 1, "--vocab-size 20 does not suit"),
    (segment, "train --input {in}/three --prefix {out}/p --vocab-size 9000", 1, "--vocab-size 9000 does not"),
    (segment, "train --input {in}/three --prefix {out}/p --vocab-size 0", 2, "--vocab-size must be at least 1, not 0"),
    (segment, "train --input {in}/three --prefix {in}/three/p --vocab-size 15", 1, "--prefix {in}/three/p: no folder"),
    (generate, "--output {in}/three", 1, "generate.py: --output {in}/three: File exists"),
    (generate, "--output /dev/full/x", 1, "generate.py: --output /dev/full/x: Not a directory"),
    (generate, "--output {out} --train 0", 2, "--train must be at least 1, not 0"),
    (generate, "--output {out} --max-words 3 --train 9 --valid 9", 1, "generate.py: found only"),
    (summary, f"{SUMMARY} {{in}}/gone", 1, "summary.py: cannot read {in}/gone/hypotheses.txt: No such file"),
    (summary, f"{SUMMARY} {{in}}/short", 1, "summary.py: {in}/short/hypotheses.txt ends after 2 lines, but"),
    (summary, f"{SUMMARY} {{in}}/wrong", 1, "summary.py: the links '0-0 7-1' do not belong to 'a b' and 'a b'"),
    (summary, f"{SUMMARY} {{in}}/aligned", 1, "summary.py: {in}/run/scores.json is missing: run the recipe's stage"),
    (length_curve, f"{CURVE} --source {{in}}/gone", 2, "error: cannot read {in}/gone: No such file"),
    (length_curve, f"{CURVE} --source {{in}}/folder", 2, "error: cannot read {in}/folder: Is a directory"),
    (length_curve, f"{CURVE} --source {{in}}/empty", 2, "error: --source {in}/empty is empty"),
    (length_curve, f"{CURVE} --reference {{in}}/two", 2, "error: --reference {in}/two has 2 lines, but --source"),
    (length_curve, f"{CURVE} --reference {{in}}/latin", 2, "error: {in}/latin, line 2: not UTF-8 text"),
    (length_curve, f"{CURVE} --system y={{in}}/two", 2, "error: --system {in}/two has 2 lines, but --source"),
    (length_curve, f"{CURVE} --system y", 2, "error: --system y: must be NAME=FILE"),
    (length_curve, f"{CURVE} --borders 0", 2, "error: --borders 0: must rise, from 1 or more"),
    (length_curve, f"{CURVE} --borders -3", 2, "error: --borders -3: must be numbers with commas between"),
    (length_curve, f"{CURVE} --borders 1,,2", 2, "error: --borders 1,,2: must be numbers with commas between"),
    (length_curve, f"{CURVE} --resamples -1", 2, "error: --resamples -1: a 95 % interval needs at least 40"),
    (length_curve, f"{CURVE} --resamples x", 2, "argument --resamples: invalid int value: 'x'"),
    (length_curve, f"{CURVE} --tokenize no", 2, "argument --tokenize: invalid choice: 'no'"),
    (length_curve, f"{CURVE} --tokenize ko-mecab", 2, "error: --tokenize ko-mecab cannot be used here: "),
    (length_curve, f"{CURVE} --plot {{out}}/a.txt", 2, "error: --plot {out}/a.txt: must end in .png, .svg or .pdf"),
    (length_curve, f"{CURVE} --plot {{in}}/three/a.png", 2, "error: --plot {in}/three/a.png: there is no such folder"),
    (length_curve, f"{CURVE} --plot {{in}}/gone/a.png", 2, "error: --plot {in}/gone/a.png: there is no such folder"),
    (score_alignment, f"{LINKS} --gold {{in}}/gone", 2, "error: cannot read {in}/gone: No such file"),
    (score_alignment, f"{LINKS} --gold {{in}}/empty", 2, "error: --gold {in}/empty: there is no sure link"),
    (score_alignment, f"{LINKS} --gold {{in}}/three", 2, "error: --gold {in}/three, line 1: 'a' is neither a"),
    (score_alignment, f"{LINKS} --gold {{in}}/latin", 2, "error: {in}/latin, line 2: not UTF-8 text"),
    (score_alignment, f"{LINKS} --hypothesis {{in}}/folder", 2, "error: cannot read {in}/folder: Is a directory"),
    (score_alignment, f"{LINKS} --reverse {{in}}/two", 2, "error: --reverse {in}/two, line 1: 'a' is neither a sure"),
    (score_alignment, f"{LINKS} --gold-index-from 2", 2, "argument --gold-index-from: invalid choice: 2"),
    (compare, f"{COMPARE} a={{in}}/gone", 2, "error: {in}/gone/scores.json is missing: run the recipe's stage 'score'"),
    (compare, f"{COMPARE} a={{in}}/three", 2, "error: {in}/three/scores.json is missing"),
    (compare, f"{COMPARE} a", 2, "error: --run a: must be NAME=DIR"),
    (compare, f"{COMPARE} a={{in}}/broken", 2, "error: {in}/broken/scores.json is not what a recipe writes"),
    (compare, f"{COMPARE} a={{in}}/strange", 2, "error: {in}/strange/scores.json, line 1: not UTF-8 text"),
    (compare, f"{COMPARE} a={{in}}/gone --borders x", 2, "error: --borders x: must be numbers"),
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Right files and wrong ones."""
    folder = tmp_path_factory.mktemp("in")
    for name, content in {
        "three": ["a b", "c d e", "f"], "two": ["a b", "c"], "links": ["0-0 1-1", "0-0", "0-0"],
        "generated": ["x", "D-0\t-1\ta b", "D-2\t-1\tf", "D-1\t-1\tc d e"], "gap": ["D-0\t-1\ta b", "D-2\t-1\tf"],
        "two.txt": ["D-0\t-1\ta b", "D-1\t-1\tf"], "odd": ["D-0 -1 a b"],
    }.items():  # fmt: skip
        write(folder / name, content)
    (folder / "latin").write_bytes("a\nStraße\n".encode("latin-1"))
    (folder / "empty").touch()
    os.mkfifo(folder / "pipe")
    for name in ("folder", "run", "broken", "strange", "aligned", "short", "wrong"):
        (folder / name).mkdir()
    (folder / "broken" / "scores.json").write_text("{")
    (folder / "strange" / "scores.json").write_bytes(b"\x80")
    for name, hypotheses, links in (
        ("aligned", ["a b", "c", "d"], ["0-0 1-1", "0-0", "0-0"]),
        ("short", ["a b", "c"], ["0-0 1-1", "0-0", "0-0"]),
        ("wrong", ["a b", "c", "d"], ["0-0 7-1", "0-0", "0-0"]),
    ):
        write(folder / name / "hypotheses.txt", hypotheses)
        write(folder / name / "alignment.pharaoh", links)
    sentences = [f"the cat number {number} sat on mat {number * 7}" for number in range(200)]
    segment.train([str(write(folder / "training", sentences))], str(folder / "spm"), 60, 0)
    return folder


@pytest.mark.parametrize(
    ("program", "given", "code", "wanted"), CASES, ids=lambda value: getattr(value, "__name__", "")
)
def test_one_line_names_what_is_wrong(program, given, code, wanted, place, tmp_path, capfd, monkeypatch):
    monkeypatch.delenv(SHOW, raising=False)
    names = {"in": place, "out": tmp_path}
    before = sorted(place.rglob("*"))
    monkeypatch.setattr(sys, "argv", [f"{program.__name__}.py", *given.format_map(names).split()])
    with pytest.raises(SystemExit) as ended:
        program.main()
    said = capfd.readouterr().err
    assert ended.value.code == code and "Traceback" not in said and SHOW not in said, said
    *usage, complaint = [line for line in said.splitlines() if ": warning: " not in line]
    assert wanted.format_map(names) in complaint and (code == 2 or usage == []), said
    assert not any(Path(folder, name).is_file() for folder, _, files in os.walk(tmp_path) for name in files)
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize("path", ["/dev/null", "/dev/full", "/dev/stdout", "/dev/../dev/stderr", "{pipe}", "{folder}"])
def test_a_device_is_never_replaced(path, place):
    """Here by the check alone, since root could."""
    with pytest.raises(ValueError, match="cannot be written: it is a folder or a device"):
        require_replaceable(path.format(pipe=place / "pipe", folder=place))


def test_right_input_is_taken(place, tmp_path, monkeypatch):
    """The files that the cases above spoil."""
    names = {"in": place, "out": tmp_path}
    for program, given in (
        (score, f"{SCORE} {{in}}/generated"), (segment, f"{ENCODE} {{in}}/three --output {{out}}/o"),
        (length_curve, CURVE), (score_alignment, LINKS),
    ):  # fmt: skip
        monkeypatch.setattr(sys, "argv", ["p", *given.format_map(names).split()])
        program.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["h", "o", "s"]
