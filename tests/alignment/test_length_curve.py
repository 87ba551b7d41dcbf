"""BLEU by length, against sacrebleu's own bootstrap and by hand."""

import random

import pytest
from sacrebleu.metrics import BLEU
from support import run_command

from fairseq_bahdanau.cli.length_curve import cut, get_parser, main, score, titles


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Source, reference, a system that errs at a fixed rate, and one that errs more the longer the sentence."""
    folder = tmp_path_factory.mktemp("texts")
    numbers = random.Random(4)
    lines = {"source": [], "reference": [], "steady": [], "fading": []}
    for _ in range(120):
        words = [f"word{numbers.randrange(60)}" for _ in range(numbers.randrange(5, 45))]
        lines["source"].append(" ".join(words))
        lines["reference"].append(" ".join(words) + ".")
        for name, rate in (("steady", 0.1), ("fading", len(words) / 60)):
            lines[name].append(" ".join("wrong" if numbers.random() < rate else word for word in words) + ".")
    for name, of_name in lines.items():
        (folder / name).write_text("".join(f"{line}\n" for line in of_name))
    return folder


def arguments(texts, *more):
    return ["--source", str(texts / "source"), "--reference", str(texts / "reference"),
            "--system", f"steady={texts / 'steady'}", *map(str, more)]  # fmt: skip


def test_buckets():
    sources = ["a", "a  b c ", "a b c d", "", " ".join("a" * 9)]
    assert cut(sources, [1, 4]) == [[0, 3], [1, 2], [4]] and titles([1, 4]) == ["1–1", "2–4", "5–"]


@pytest.mark.parametrize("tokenize", ["13a", "char"])
def test_score_and_interval_are_sacrebleus(texts, tokenize):
    hypotheses, references = ((texts / name).read_text().splitlines() for name in ("fading", "reference"))
    wanted = BLEU(tokenize=tokenize).corpus_score(hypotheses, [references], n_bootstrap=400)
    found = score(hypotheses, references, tokenize, 400)
    assert found.bleu == pytest.approx(wanted.score) and found.low < found.bleu < found.high
    assert (found.high - found.low) / 2 == pytest.approx(wanted._ci, abs=1e-3)  # its counts are float32


def test_table_and_plot(texts, tmp_path, capsys):
    more = ("--system", f"fading={texts / 'fading'}", "--borders", "10,30,50", "--plot", tmp_path / "curve.svg")
    main(arguments(texts, *more, "--resamples", "100"))
    head, rule, *rows = capsys.readouterr().out.splitlines()
    assert head == "| source words | sentences | steady | fading |" and rule == "|---|---|---|---|"
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[0] for row in cells] == ["1–10", "11–30", "31–50", "51–"] and cells[3][1:] == ["0", "", ""]
    assert sum(int(row[1]) for row in cells) == 120
    long = [n for n, line in enumerate((texts / "source").read_text().splitlines()) if 30 < len(line.split()) <= 50]
    assert cells[2][1] == str(len(long))
    for name, cell in zip(("steady", "fading"), cells[2][2:]):
        lines, references = ((texts / file).read_text().splitlines() for file in (name, "reference"))
        bleu = BLEU().corpus_score([lines[n] for n in long], [[references[n] for n in long]]).score
        assert cell.startswith(f"{bleu:.1f} [")
    assert "<svg" in (tmp_path / "curve.svg").read_text() and [path.name for path in tmp_path.iterdir()] == [
        "curve.svg"
    ]


def test_what_is_wrong_is_said_in_one_line(texts, tmp_path, capsys):
    short, empty = tmp_path / "short", tmp_path / "empty"
    short.write_text("a\nb\n")
    empty.write_text("")
    (tmp_path / "latin").write_bytes("Straße".encode("latin-1"))
    for more, wanted in (
        (["--system", f"x={short}"], f"--system {short} has 2 lines, but --source {texts / 'source'} has 120"),
        (["--reference", short], f"--reference {short} has 2 lines, but --source {texts / 'source'} has 120"),
        (["--reference", tmp_path / "gone"], f"cannot read {tmp_path / 'gone'}: No such file or directory"),
        (["--reference", tmp_path / "latin"], f"{tmp_path / 'latin'}, line 1: not UTF-8 text, at byte 4"),
        (["--source", empty], f"--source {empty} is empty"),
        (["--system", "nothing"], "--system nothing: must be NAME=FILE"),
        (["--system", f"steady={short}"], f"--system steady={short}: the name steady is given twice"),
        (["--borders", "10,5"], "--borders 10,5: must rise, from 1 or more"),
        (["--borders", "10,x"], "--borders 10,x: must be numbers with commas between"),
        (["--resamples", "10"], "--resamples 10: a 95 % interval needs at least 40"),
        (["--borders", "99", "--resamples", "40", "--plot", "curve.doc"], "--plot curve.doc: must end in .png"),
    ):
        with pytest.raises(SystemExit):
            main(arguments(texts, *more))
        assert f"error: {wanted}" in capsys.readouterr().err.splitlines()[-1]


def test_on_the_command_line(texts):
    flags = arguments(texts, "--resamples", "40", "--borders", "20")
    assert "| 1–20 |" in run_command("python", "-m", "fairseq_bahdanau.cli.length_curve", *flags)
    assert "with 95 % intervals" in " ".join(get_parser().format_help().split())
