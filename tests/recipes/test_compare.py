"""cli.compare and compare.sh, on made-up runs whose numbers are computed again here."""

import hashlib
import json
import random
import re
import shutil
import statistics

import pytest
import sacrebleu
from sacrebleu.significance import PairedTest
from support import ROOT, lines, run_recipe, write

from fairseq_bahdanau import fairseq_logs, runs
from fairseq_bahdanau.cli import compare

WORDS = "ein zwei drei vier fünf sechs sieben acht neun zehn".split()
HEAD = "num. shared model params: {:,} (num. trained: {:,})"
EPOCH = (
    "epoch {:03} | loss 8.344 | ppl 190.36 | wps {} | ups 3.62 | wpb 918.3 | num_updates {} | lr 0.002 | gnorm 0.8 | "
    "train_wall {} | wall 140"
)
VALID = "epoch {:03} | valid on 'valid' subset | loss 6.4 | ppl {} | wps 10353.6 | wpb 719.2 | num_updates {}"


def noisy(references, probability, seed):
    numbers = random.Random(seed)
    change = lambda word: numbers.choice(WORDS) if numbers.random() < probability else word  # noqa: E731
    return [" ".join(map(change, line.split())) for line in references]


def make_run(folder, references, probability, seed, parameters, epochs):
    """A run's folder; of every epoch in ``epochs`` number, tokens/s, updates, seconds, perplexity."""
    folder.mkdir(parents=True, exist_ok=True)
    hypotheses = noisy(references, probability, seed)
    write(folder / "hypotheses.de", hypotheses)
    scores = {
        "sentences": len(references),
        "source": "../../text/test.en",
        "reference": "../../text/test.de",
        "reference_sha256": hashlib.sha256("\n".join(references).encode()).hexdigest(),
    }
    for metric in (sacrebleu.BLEU(lowercase=True), sacrebleu.CHRF(), sacrebleu.TER()):
        score = metric.corpus_score(hypotheses, [references])
        scores[score.name] = {"score": round(score.score, 2), "signature": str(metric.get_signature())}
    (folder / "scores.json").write_text(json.dumps(scores))
    log = [HEAD.format(parameters, parameters), "epoch 001:    100 / 498 loss=11.317, num_updates=100, train_wall=31"]
    for number, rate, updates, seconds, perplexity in epochs:
        log += [VALID.format(number, perplexity, updates)] * 2 + [EPOCH.format(number, rate, updates, seconds)] * 2
    write(folder / "train.log", log)
    rate = 100 + seed
    write(
        folder / "generate.log",
        [f"INFO:x:Translated 60 sentences (1,299 tokens) in 2.0s ({rate}.25 sentences/s, 7 t/s)"],
    )
    write(
        folder / "training.jsonl", ['{"seconds": 9.5, "peak_memory_gb": 1.25}', '{"seconds": 3, "peak_memory_gb": 1.5}']
    )
    write(folder / "search.args", ["--beam 5"])
    write(folder / "flags.args", ["# a model", "--arch x"])


@pytest.fixture
def place(tmp_path):
    """Three runs: two seeds of one system and one of another."""
    numbers = random.Random(1)
    references = [" ".join(numbers.choices(WORDS, k=numbers.randrange(4, 14))) for _ in range(60)]
    pair = tmp_path / "en-de"
    (tmp_path / "text").mkdir()
    write(tmp_path / "text" / "test.de", references)
    write(tmp_path / "text" / "test.en", [line.replace("e", "a") for line in references])
    # The second epoch was begun again after an interruption: its last line counts.
    epochs = [(1, "3,000.5", 11, 60, 90.5), (2, 1000, 15, 33, 80.0), (2, 1800, 22, 240, 45.25), (3, 2500, 33, 61, 30.5)]
    make_run(pair / "small", references, 0.2, 1, 2017280, epochs)
    make_run(pair / "small-seed2", references, 0.25, 2, 2017280, epochs[:1])
    make_run(pair / "big", references, 0.35, 3, 33017280, epochs[:1])
    return pair


def run(place, *flags, output="out"):
    named = ["--run", f"small={place / 'small'},{place / 'small-seed2'}", "--run", f"big={place / 'big'}"]
    compare.main([*map(str, named), "--output", str(place / output), "--resamples", "50", *flags])
    return place / output


def cells(output):
    rows = [line.strip("|").split(" | ") for line in lines(output / "comparison.md") if line.startswith("| ")]
    heads = [cell.strip() for cell in rows[0]]
    return {row[0].strip(): dict(zip(heads, map(str.strip, row))) for row in rows[1:]}


def test_the_table_holds_what_the_runs_hold(place, capsys):
    output = run(place)
    assert capsys.readouterr().out.splitlines() == lines(output / "comparison.md")
    table = cells(output)
    scores = [json.loads((place / name / "scores.json").read_text()) for name in ("small", "small-seed2", "big")]
    for name in ("BLEU", "chrF2", "TER"):
        one, two, other = (score[name]["score"] for score in scores)
        assert table["small"][name] == f"{statistics.mean([one, two]):.2f} ± {statistics.stdev([one, two]):.2f}"
        assert table["big"][name].split(" ")[0] == f"{other:.2f}"
        assert f"- {name}: `{scores[0][name]['signature']}`" in lines(output / "comparison.md")
    assert table["big"]["parameters"] == "33,017,280" and table["big"]["updates"] == "11"
    # (60 + 240 + 61 + 60) / 2 seconds; medians 2,500 and 3,000.5.
    assert table["small"]["training"] == "4 min" and table["small"]["tokens/s"] == "2,750 ± 354"
    assert table["small"]["sentences/s"] == "101.8 ± 0.7" and table["small"]["peak memory, GB"] == "1.50"
    assert table["small"]["validation perplexity"] == "60.50 ± 42.43" and table["small"]["search"] == "`--beam 5`"
    sha256 = scores[0]["reference_sha256"]
    assert f"Test set: test.de, 60 sentences, SHA-256 {sha256[:12]}." in lines(output / "comparison.md")


def test_significance_is_sacrebleus(place):
    # Two that are close: of systems far apart every test says 1 / (resamples + 1).
    references = lines(place.parent / "text" / "test.de")
    make_run(place / "near", references, 0.2, 4, 2017281, [(1, 1000, 11, 60, 90.5)])
    named = ["--run", f"one={place / 'small'}", "--run", f"two={place / 'near'}", "--baseline", "two"]
    output = place / "out"
    compare.main([*named, "--output", str(output), "--resamples", "50"])
    systems = [(name, lines(place / name / "hypotheses.de")) for name in ("near", "small")]
    metrics = {"BLEU": sacrebleu.BLEU(lowercase=True), "chrF2": sacrebleu.CHRF(), "TER": sacrebleu.TER()}
    _, wanted = PairedTest(systems, metrics, [references], "bs", 50)()
    found = json.loads((output / "comparison.json").read_text())["systems"]["one"]["p"]
    assert found == {name: wanted[name][1].p_value for name in metrics}
    assert min(found.values()) > 1 / 51 and len(set(found.values())) > 1, found
    assert f"(p = {found['BLEU']:.3f})" in cells(output)["one"]["BLEU"] and "(p" not in cells(output)["two"]["BLEU"]
    assert "50 resamples, against two" in lines(output / "comparison.md")[-1]


def test_json_and_picture(place):
    output = run(place)
    found = json.loads((output / "comparison.json").read_text())
    one, two = found["systems"]["small"]["runs"]
    assert one["validations"] == [[11, 90.5], [15, 80.0], [22, 45.25], [33, 30.5]] and two["updates"] == 11
    assert one["training seconds"] == 361 and one["flags"] == "# a model\n--arch x" and found["baseline"] == "small"
    assert (output / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert not list(output.glob("*.part"))


def test_picture_shows_every_seed_and_the_lengths(place):
    systems = runs.read_systems([f"small={place / 'small'},{place / 'small-seed2'}", f"big={place / 'big'}"])
    scores = compare.by_length(systems, [6, 9], 40)
    learning, lengths = compare.picture(systems, scores, ["a", "b", "c"]).axes
    drawn = [(line.get_color(), line.get_xydata().tolist()) for line in learning.lines]
    once = [[11, 90.5]]
    assert drawn == [("C0", [*once, [15, 80], [22, 45.25], [33, 30.5]]), ("C0", once), ("C1", once)]
    assert [text.get_text() for text in learning.get_legend().get_texts()] == ["small", "big"]
    assert learning.get_yscale() == "log"
    heights = [bars.lines[0].get_ydata().tolist() for bars in lengths.containers]
    assert heights == [[one.bleu for one in scores[name]] for name in ("small", "big")]


def test_bleu_by_length_is_computed_as_the_table_is(place):
    """A corpus in capitals, scored without regard to case and by characters: one bucket of all is the whole score."""
    text = place.parent / "text" / "test.de"
    references = [line.upper() for line in lines(text)]
    write(text, references)
    for name in ("small", "small-seed2", "big"):
        hypotheses = lines(place / name / "hypotheses.de")
        for metric in (sacrebleu.BLEU(lowercase=True, tokenize="char"), sacrebleu.CHRF(), sacrebleu.TER()):
            score = metric.corpus_score(hypotheses, [references])
            one = {"score": round(score.score, 2), "signature": str(metric.get_signature())}
            edit_scores(place / name, lambda s, score=score, one=one: s.update({score.name: one}))
        edit_scores(place / name, lambda s: s.update(reference_sha256=runs.checksum(references)))
    found = json.loads((run(place, "--borders", "99") / "comparison.json").read_text())
    assert found["borders"] == [99]
    for name in ("small", "big"):
        whole, above = found["BLEU by source length"][name]
        assert round(whole["bleu"], 2) == found["systems"][name]["runs"][0]["scores"]["BLEU"]["score"] > 1
        assert whole["low"] < whole["bleu"] < whole["high"] and above is None


def test_a_perplexity_that_is_infinite_is_no_end(place):
    """That of one seed of two."""
    log = place / "small-seed2" / "train.log"
    write(log, [line.replace("ppl 90.5", "ppl inf") for line in lines(log)])
    output = run(place)
    assert cells(output)["small"]["validation perplexity"] == "inf"
    numbers = (output / "comparison.json").read_text()
    assert "Infinity" not in numbers
    assert json.loads(numbers)["systems"]["small"]["runs"][1]["validation perplexity"] is None


def test_a_training_without_measurements_has_an_empty_cell(place):
    (place / "big" / "training.jsonl").unlink()
    assert cells(run(place))["big"]["peak memory, GB"] == ""


def edit_scores(folder, change):
    scores = json.loads((folder / "scores.json").read_text())
    change(scores)
    (folder / "scores.json").write_text(json.dumps(scores))


ONE = [(1, "3,000.5", 11, 60, 90.5)]
REFUSALS = [
    (
        lambda big: edit_scores(big, lambda s: s.update(reference_sha256="0")),
        "/small and .*/big were scored on different",
    ),
    (
        lambda big: edit_scores(big, lambda s: s["BLEU"].update(signature="x:y")),
        "different signatures of BLEU: .*; x:y",
    ),
    (
        lambda big: edit_scores(big, lambda s: s["BLEU"].update(signature="x")),
        "BLEU has the score .* the signature 'x'",
    ),
    (lambda big: edit_scores(big, lambda s: s["BLEU"].update(score="12")), "BLEU has the score '12' and the signature"),
    (
        lambda big: write(big.parent.parent / "text" / "test.de", ["x"] * 60),
        "test.de is not the text on which .*small was",
    ),
    (
        lambda big: write(big.with_name("small-seed2") / "search.args", ["--beam 1"]),
        "small and .*small-seed2 are no seeds of one system: options of the search --beam 5; --beam 1",
    ),
    (
        lambda big: make_run(
            big.with_name("small-seed2"), lines(big.parent.parent / "text" / "test.de"), 0.2, 2, 5, ONE
        ),
        "are no seeds of one system: parameters 2017280; 5",
    ),
    (lambda big: edit_scores(big, lambda s: s.pop("TER")), "/small and .*/big have different scores"),
    (
        lambda big: edit_scores(big, lambda s: s.update(source="../../text/test.de")),
        "/small and .*/big have different sources",
    ),
    (
        lambda big: edit_scores(big.with_name("small-seed2"), lambda s: s["TER"].update(score=1.5)),
        "small-seed2: TER of hypotheses is .*scores.json has 1.50",
    ),
    (
        lambda big: write(big / "training.jsonl", ["x"]),
        "not what a recipe writes .* the recipe's stage 'train'",
    ),
    (
        lambda big: write(big / "training.jsonl", ["{}"]),
        "not what a recipe writes .* the recipe's stage 'train'",
    ),
    (
        lambda big: write(big / "train.log", [line.replace("| wps", "|") for line in lines(big / "train.log")]),
        "big/train.log, line 5: no 'wps' in the line .*: run the recipe's stage 'train'",
    ),
    (
        lambda big: edit_scores(big, lambda s: s["chrF2"].update(score=1.5)),
        "chrF2 of hypotheses is .*scores.json has 1.50",
    ),
    (
        lambda big: edit_scores(big, lambda s: s.pop("source")),
        "not what a recipe writes .* the recipe's stage 'score'",
    ),
    (
        lambda big: edit_scores(big, lambda s: s.pop("BLEU")),
        "not what a recipe writes .* the recipe's stage 'score'",
    ),
    (lambda big: (big / "scores.json").unlink(), "scores.json is missing: run the recipe's stage 'score'"),
    (lambda big: (big / "train.log").write_text("x\n"), "train.log has no epoch"),
    (
        lambda big: (big / "generate.log").write_text("x\n"),
        "generate.log does not tell .*'translate'",
    ),
    (lambda big: (big / "hypotheses.de").unlink(), "big must have one file hypotheses.LANGUAGE, not 0"),
    (lambda big: write(big / "hypotheses.de", ["x"] * 59), "has 59 lines, but .* has 60"),
]


@pytest.mark.parametrize(("damage", "message"), REFUSALS)
def test_runs_that_cannot_be_compared_are_refused(place, capsys, damage, message):
    damage(place / "big")
    with pytest.raises(SystemExit, match="2"):
        run(place)
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert re.search(message, complaint), complaint
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--baseline", "x"], "--baseline x: no such run; there are small, big"),
        (["--run", "small=a"], "the name small is given twice"),
        (["--run", "small"], "--run small: must be NAME=DIR"),
        (["--resamples", "9"], "--resamples 9"),
        (["--borders", "3,2"], "--borders 3,2: must rise"),
    ],
)
def test_bad_options(place, capsys, flags, message):
    with pytest.raises(SystemExit, match="2"):
        run(place, *flags)
    assert message in capsys.readouterr().err


def say_valid1(folder, *subsets):
    """Makes every validation in a log one of each of these subsets; the perplexity of the first alone stays."""
    changed = []
    for line in lines(folder / "train.log"):
        if " valid on " not in line:
            changed.append(line)
            continue
        changed.append(line.replace("'valid'", f"'{subsets[0]}'"))
        other = re.sub(r"ppl [\d.]+", "ppl 7.77", line)
        changed += [other.replace("'valid'", f"'{subset}'") for subset in subsets[1:]]
    write(folder / "train.log", changed)


@pytest.mark.parametrize(
    ("subsets", "shown", "warnings"),
    [
        (["valid"], "90.50", []),
        (["valid", "valid1"], "90.50", ["compare: warning: .*/big: validated on valid, valid1: .* is of valid$"]),
        (["valid1", "valid"], "7.77", ["compare: warning: .*/big: validated on valid1, valid: .* is of valid$"]),
        (["valid1"], "90.50", ["compare: warning: the perplexities are of different validation .*: valid, valid1$"]),
        (
            ["a", "b"],
            "90.50",
            ["compare: warning: .*/big: .* is of a$", "compare: warning: .* different .*: a, valid$"],
        ),
    ],
)
def test_the_perplexity_is_that_of_one_validation_set(place, capsys, subsets, shown, warnings):
    say_valid1(place / "big", *subsets)
    table = cells(run(place))
    said = [line for line in capsys.readouterr().err.splitlines() if "valid" in line]
    assert table["big"]["validation perplexity"] == shown
    assert len(said) == len(warnings) and all(re.match(*pair) for pair in zip(warnings, said)), said


def test_texts_of_another_kind_are_warned_of(place, capsys):
    """A source without spaces between words, and hypotheses that are tokenised, as cli.length_curve says it."""
    write(place.parent / "text" / "test.en", ["我喜欢在早上读书，然后去公园散步。"] * 60)
    write(place / "big" / "hypotheses.de", [f"{line} ." for line in lines(place / "big" / "hypotheses.de")])
    references = lines(place.parent / "text" / "test.de")
    for metric in (sacrebleu.BLEU(lowercase=True, force=True), sacrebleu.CHRF(), sacrebleu.TER()):
        score = metric.corpus_score(lines(place / "big" / "hypotheses.de"), [references])
        edit_scores(place / "big", lambda s, score=score: s[score.name].update(score=round(score.score, 2)))
    run(place)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("compare: ")]
    assert len(said) == 2, said
    assert re.match(r"compare: warning: .*/test.en has no spaces between its words", said[0])
    assert re.match(r"compare: warning: big is tokenised .*, the reference is not", said[1])


def test_any_name_of_a_system_is_shown(place):
    named = ["--run", f"a|b $x$={place / 'small'}", "--run", f"_\x00={place / 'big'}"]
    compare.main([*named, "--output", str(place / "out"), "--resamples", "50"])
    rows = [line for line in lines(place / "out" / "comparison.md") if line.startswith("| ")]
    assert rows[1].startswith(r"| a\|b $x$ | ") and rows[2].startswith("| _\ufffd | ")
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    systems = runs.read_systems([named[1], named[3]])
    learning, lengths = compare.picture(systems, compare.by_length(systems, [6, 9], 40), ["a", "b", "c"]).axes
    for axes in (learning, lengths):
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a|b $x$", " _\ufffd"]


def test_an_output_that_is_a_file_is_refused(place, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(place, output="small/flags.args")
    assert f"--output {place / 'small' / 'flags.args'}: File exists" in capsys.readouterr().err


def test_a_folder_given_twice_is_refused(place, capsys):
    with pytest.raises(SystemExit, match="2"):
        run(place, "--run", f"again={place / 'small'}/")
    assert "is given twice" in capsys.readouterr().err


def test_the_script_finds_all_seeds(place):
    script = ROOT / "recipes" / "compare.sh"
    work = ("--work", place.parent)
    shutil.copytree(place / "small-seed2", place / "small-seed10")
    run_recipe(script, "multi30k", "small", "big", *work, "--resamples", "50")
    output = place / "comparison"
    found = json.loads((output / "comparison.json").read_text())["systems"]["small"]["runs"]
    assert [one["folder"].split("/")[-1] for one in found] == ["small", "small-seed2", "small-seed10"]
    assert set(cells(output)) == {"small", "big"} and "±" in cells(output)["small"]["BLEU"]
    assert "no finished run of tiny in" in run_recipe(script, "multi30k", "small", "tiny", *work, succeeds=False)
    assert "no recipe 'x': there are iwslt14_de_en" in run_recipe(script, "x", "small", *work, succeeds=False)
    assert "needs at least one MODEL" in run_recipe(script, "multi30k", *work, succeeds=False)
    message = run_recipe(script, "multi30k", "nothing", *work, succeeds=False)
    assert "no finished run of nothing" in message and "bash recipes/multi30k/run.sh nothing" in message
    assert "--src and --tgt go together" in run_recipe(
        script, "multi30k", "small", *work, "--src", "en", succeeds=False
    )
    shutil.copytree(place / "small", place.parent / "de-en" / "small")
    assert "has de-en en-de: choose by --src and --tgt" in run_recipe(
        script, "multi30k", "small", *work, succeeds=False
    )


def test_a_log_that_says_inf(tmp_path):
    assert fairseq_logs.number_after("ppl", "epoch 001 | ppl inf | wps 1,234.5 |") == float("inf")
    assert fairseq_logs.number_after("wps", "epoch 001 | ppl inf | wps 1,234.5 |") == 1234.5
