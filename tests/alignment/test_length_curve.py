"""BLEU by length, against sacrebleu's own bootstrap and by hand."""

import random
import re
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from sacrebleu.metrics import BLEU
from support import run_command, write

from fairseq_bahdanau.cli.length_curve import Score, cut, draw, get_parser, main, score, titles


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


ENGLISH = ["the cat sits on the mat."] * 12 + ["a dog and a bird and a fish see one another there."] * 8
PLAIN = [f"Der Hund Nummer {number} bellt laut." for number in range(20)]
TOKENISED = [line.replace(".", " .") for line in PLAIN]
CHINESE = ["我喜欢在早上读书，然后去公园散步。"] * 19 + ["我 喜欢 读书 。"]
CUT = ["我 喜欢 在 早上 读书 ， 然后 去 公园 散步 。 我 喜欢 读书 。"] * 10 + ["我 喜欢 读书 。"] * 10
THAI = ["ฉันชอบอ่านหนังสือในตอนเช้าแล้วไปเดินเล่นในสวนสาธารณะ"] * 20
OTHER = [line.replace("laut", "leise") for line in PLAIN]
TEXTS = [
    # source, reference, hypotheses, what every warning says
    (ENGLISH, PLAIN, OTHER, []),
    (CHINESE, PLAIN, OTHER, ["--source .*source has no spaces between its words"]),
    (THAI, PLAIN, OTHER, ["--source .*source has no spaces between its words"]),
    (CUT, PLAIN, OTHER, []),
    (["我喜欢书"] * 20, PLAIN, OTHER, ["every sentence of --source .* falls into the first bucket, 1–10"]),
    (ENGLISH[:12] + ["three small words"] * 8, PLAIN, OTHER, ["every sentence of --source .* first bucket, 1–10"]),
    (ENGLISH, PLAIN, [line.replace("Hund", "Hu@@ nd") for line in OTHER], [r"--system x is cut .*\(@@\), the ref"]),
    (ENGLISH, PLAIN, ["▁" + line.replace(" ", " ▁") for line in OTHER], [r"--system x is cut .*\(▁\), the"]),
    (ENGLISH, TOKENISED, ["▁Der"] * 20, ["--system x is cut .*▁", "the reference is tokenised .*--system x is not"]),
    (ENGLISH, PLAIN, TOKENISED, ["--system x is tokenised .*, the reference is not"]),
    (ENGLISH, TOKENISED, OTHER, ["the reference is tokenised .*, --system x is not"]),
    (ENGLISH, TOKENISED, [line.replace("laut", "leise") for line in TOKENISED], []),
    (ENGLISH, PLAIN, PLAIN, ["--system x is the reference itself"]),
    (ENGLISH, PLAIN, ENGLISH, ["--system x is the source itself"]),
    (ENGLISH, ENGLISH, OTHER, ["the reference is the source itself"]),
    (ENGLISH, PLAIN, OTHER[:17] + ["", " ", ""], ["--system x has 3 empty lines of 20, where the reference has text"]),
    (ENGLISH[:17] + [""] * 3, PLAIN[:17] + [""] * 3, OTHER[:17] + [""] * 3, []),
]  # fmt: skip


@pytest.mark.parametrize(("source", "reference", "hypotheses", "wanted"), TEXTS)
def test_texts_of_another_kind_are_warned_of(source, reference, hypotheses, wanted, tmp_path, capsys):
    files = {"source": source, "reference": reference, "x": hypotheses}
    paths = {name: str(write(tmp_path / name, content)) for name, content in files.items()}
    given = ["--source", paths["source"], "--reference", paths["reference"], "--system", f"x={paths['x']}"]
    main([*given, "--resamples", "40"])
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 9
    said = printed.err.splitlines()
    assert len(said) == len(wanted), said
    for line, pattern in zip(said, wanted):
        assert re.match(f"length_curve: warning: {pattern}", line), line


def test_a_tokenizer_that_cannot_be_used_is_named(texts, capsys, monkeypatch):
    """Such as those for Japanese and Korean without their packages, or one that downloads a model without a network."""

    def missing(self):
        raise RuntimeError('"mecab-python3" is not installed,\nplease install it')

    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_zh.TokenizerZh.__init__", missing)
    with pytest.raises(SystemExit) as ended:
        main(arguments(texts, "--tokenize", "zh"))
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "zh" in line]
    assert ended.value.code == 2
    assert said.endswith(
        'error: --tokenize zh cannot be used here: "mecab-python3" is not installed, please install it'
    )


def test_names_in_the_legend_are_plain_text(tmp_path):
    """No formula, no control character, and none left out."""
    axes, names = Figure().add_subplot(), ["a $x$", "_b", "c\x00d", "$\\frac$"]
    draw(axes, {name: [Score(1.0, 0.5, 1.5)] for name in names}, ["1–"])
    texts = axes.get_legend().get_texts()
    assert [text.get_text() for text in texts] == ["a $x$", " _b", "c\ufffdd", "$\\frac$"]
    axes.figure.savefig(tmp_path / "a.svg", format="svg")
    ElementTree.parse(tmp_path / "a.svg")
