"""cli.score_alignment on the corpus' own links, and by hand."""

import re

import pytest
from support import lines, write

from fairseq_bahdanau.alignment.links import read_pharaoh
from fairseq_bahdanau.cli import score_alignment


def test_score_alignment(run_align, corpus, tmp_path, capsys):
    """Against the corpus' own links, of forced decoding of its references."""
    folder = run_align(lines(corpus / "test.xx"), "--target", corpus / "test.yy", "--batch-size", "7")
    gold, links = corpus / "test.align", folder / "alignment.pharaoh"
    flipped = write(tmp_path / "reverse", [re.sub(r"(\d+)-(\d+)", r"\2-\1", line) for line in lines(gold)])
    capsys.readouterr()
    score_alignment.main(["--gold", str(gold), "--hypothesis", str(links), "--reverse", str(flipped)])
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| alignment | links | precision | recall | AER |"
    cells = {row.split("|")[1].strip(): [float(cell) for cell in row.split("|")[2:-1]] for row in rows}
    pairs = list(zip(map(read_pharaoh, lines(gold)), map(read_pharaoh, lines(links))))
    right, total = sum(len(a & b) for (a, _), (b, _) in pairs), sum(len(a) for (a, _), _ in pairs)
    found = sum(len(b) for _, (b, _) in pairs)
    assert cells["hypothesis"] == [found] + [pytest.approx(number, abs=1e-4) for number in (
        right / found, right / total, 1 - 2 * right / (found + total))]  # fmt: skip
    assert cells["hypothesis"][3] < 0.1 and cells["reverse"] == [total, 1, 1, 0]
    assert cells["grow-diag"][1] >= cells["hypothesis"][1] and set(cells) == {
        "hypothesis", "reverse", "grow-diag", "grow-diag-final"}  # fmt: skip


def test_both_directions(tmp_path, capsys):
    """The other model's links have its own source first: 2-0 and 1-1 there are 0-2 and 1-1 here."""
    files = {"gold": ["0-2 1-1 2?1"], "hypothesis": ["0-2 2-1"], "reverse": ["2-0 1-1"]}
    flags = [text for flag, content in files.items() for text in (f"--{flag}", str(write(tmp_path / flag, content)))]
    score_alignment.main(flags)
    assert [re.sub(r"[| ]+", " ", row).strip() for row in capsys.readouterr().out.splitlines()[2:]] == [
        "hypothesis 2 1.0000 0.5000 0.2500",
        "reverse 2 1.0000 1.0000 0.0000",
        "grow-diag 3 1.0000 1.0000 0.0000",
        "grow-diag-final 3 1.0000 1.0000 0.0000",
    ]


def test_what_score_alignment_refuses(tmp_path, capsys):
    gold = write(tmp_path / "gold", ["0-0", "1?1 0-0"])
    for flag, content, wanted in (
        ("hypothesis", ["0-0"], "hypothesis {} has 1 lines, but --gold {gold} has 2"),
        ("reverse", ["0-0"] * 3, "reverse {} has 3 lines, but --gold {gold} has 2"),
        ("hypothesis", ["", "0:0"], "hypothesis {}, line 2: '0:0' is neither a sure link"),
        ("hypothesis", ["", "0?0"], "hypothesis {}, line 2: only a gold standard has possible links"),
        ("gold", ["", "0?0"], "gold {}: there is no sure link"),
        ("gold", ["", "0"], "gold {}, line 2: '0' is neither a sure link"),
    ):
        file = write(tmp_path / "file", content)
        right = ["--gold", str(gold), "--hypothesis", str(write(tmp_path / "right", ["0-0", "0-0"]))]
        with pytest.raises(SystemExit):
            score_alignment.main([*right, f"--{flag}", str(file)])
        said = capsys.readouterr().err.splitlines()[-1]
        assert f"error: --{wanted.format(file, gold=gold)}" in said


GOLD = ["0-0 1-2 2-1 3?3", "0-1 1-0 2?2 3-3", "0-0 1-1 2-3 3-2"]


def shifted(content, step):
    return [re.sub(r"\d+", lambda number: str(int(number[0]) + step), line) for line in content]


def flipped(content):
    return [re.sub(r"(\d+)([-?])(\d+)", r"\3\2\1", line) for line in content]


SURE = [line.replace("?", "-") for line in GOLD]
ASYMMETRIC = ["0-1 0-2 1-3 2-3", "0-2 1-2 1-3 2-4", "0-1 1-2 1-3 2-4"]
DOUBTS = [
    # gold, hypothesis, more options, AER, what every warning says
    (GOLD, SURE, [], 0, []),
    (shifted(GOLD, 1), SURE, [], None, ["--gold {gold}: no link has a word 0, .*: --gold-index-from 1 reads it so"]),
    (shifted(GOLD, 1), SURE, ["--gold-index-from", "1"], 0, []),
    (GOLD, shifted(SURE, 1), [], None, ["--hypothesis {hypothesis}: no link .*: --hypothesis-index-from 1"]),
    (GOLD, shifted(SURE, 1), ["--hypothesis-index-from", "1"], 0, []),
    (shifted(GOLD, 1), shifted(SURE, 1), [], 0, []),  # both alike
    (shifted(GOLD, 1), shifted(SURE, 1), ["--gold-index-from", "1", "--hypothesis-index-from", "1"], 0, []),
    (shifted(GOLD, 1), shifted(SURE, 1), ["--gold-index-from", "1"], None, ["--hypothesis {hypothesis}: no link"]),
    # Counted from 1, with a word 0 that stands for none.
    (
        [f"{line} 0?9" for line in shifted(GOLD, 1)],
        SURE,
        [],
        None,
        [r"--hypothesis {hypothesis}: AER is 0\.\d+, but 0.0000 with \+1 added to every number"],
    ),
    (ASYMMETRIC, ASYMMETRIC, [], 0, []),
    (ASYMMETRIC, flipped(ASYMMETRIC), [], None, ["--hypothesis {hypothesis}: AER .* 0.0000 with the sides .* swapped"]),
    (GOLD, ["", "", ""], [], 1, ["--hypothesis {hypothesis} has no link at all"]),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "hypothesis", "options", "aer", "wanted"), DOUBTS)
def test_files_that_seem_to_be_read_wrongly_are_warned_of(gold, hypothesis, options, aer, wanted, tmp_path, capsys):
    files = {"gold": write(tmp_path / "gold", gold), "hypothesis": write(tmp_path / "hypothesis", hypothesis)}
    score_alignment.main([*(str(word) for flag, file in files.items() for word in (f"--{flag}", file)), *options])
    printed = capsys.readouterr()
    if aer is not None:
        assert float(printed.out.splitlines()[-1].split("|")[-2]) == aer
    said = printed.err.splitlines()
    assert len(said) == len(wanted), said
    for line, pattern in zip(said, wanted):
        assert re.match(f"score_alignment: warning: {pattern.format(**files)}", line), line


def test_a_reverse_file_that_is_already_turned_is_warned_of(tmp_path, capsys):
    files = {"gold": ASYMMETRIC, "hypothesis": ASYMMETRIC, "reverse": ASYMMETRIC}
    flags = [text for flag, content in files.items() for text in (f"--{flag}", str(write(tmp_path / flag, content)))]
    score_alignment.main(flags)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"score_alignment: warning: --reverse {tmp_path / 'reverse'}: AER is ")
    assert said.endswith("with the sides of its links swapped: they must have their own source first")


def test_a_word_0_in_a_file_that_counts_from_1_is_refused(tmp_path, capsys):
    gold, hypothesis = (str(write(tmp_path / name, ["1-1", "1-2 0-1"])) for name in ("gold", "hypothesis"))
    with pytest.raises(SystemExit):
        score_alignment.main(["--gold", gold, "--hypothesis", hypothesis, "--gold-index-from", "1"])
    assert f"error: --gold {gold}, line 2: a word 0, where words count from 1" in capsys.readouterr().err
