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
