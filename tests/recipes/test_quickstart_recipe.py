"""The quickstart on a corpus of 300 sentences: to its summary, again, the other way round, and with bad arguments."""

import re

import pytest
from support import ROOT, lines, run_recipe

RECIPE = ROOT / "recipes" / "quickstart" / "run.sh"
CORPUS = "--train 300 --valid 20 --test 30 --max-words 12"


def run(folder, *args, **keywords):
    return run_recipe(RECIPE, "--work", folder, *args, **{"GENERATE_FLAGS": CORPUS, **keywords})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The work folder of a finished quickstart, and what it printed."""
    folder = tmp_path_factory.mktemp("quickstart") / "work"
    return folder, run(folder)


def links(path):
    return [{tuple(map(int, link.split("-"))) for link in line.split()} for line in lines(path)]


def test_the_summary_tells_what_the_files_hold(place):
    folder, printed = place
    results = folder / "en-de" / "attention"
    for name in ("attention", "fixed_context"):
        assert len(re.findall(rf"^{name}: epoch \d+, validation ppl [\d.]+$", printed, re.MULTILINE)) == 4
        bleu = re.search(rf"\| {name} \| ([\d.]+) \|", printed)[1]
        assert f'"score": {float(bleu)}' in (folder / "en-de" / name / "scores.json").read_text()
    gold, found = links(results / "gold.align"), links(results / "reference" / "alignment.pharaoh")
    assert gold == links(folder / "data" / "test.align") and len(gold) == 30
    both = sum(len(a & b) for a, b in zip(gold, found))
    aer = 1 - 2 * both / sum(len(a) + len(b) for a, b in zip(gold, found))
    assert f"{aer:.4f}" in next(line for line in printed.splitlines() if line.startswith("| hypothesis"))
    assert "| source words | sentences | attention | fixed context |" in printed
    for picture in ("length_curve.png", "examples/0000.png", "examples/0002.png", "examples/index.html"):
        assert (results / picture).is_file()


def test_examples_are_shown_with_the_words_they_looked_at(place):
    folder, printed = place
    results = folder / "en-de" / "attention" / "examples"
    sources = lines(results.parent / "examples.en")
    assert len(sources) == 3 and set(sources) <= set(lines(folder / "data" / "test.en"))
    for source, target, found in zip(sources, lines(results / "hypotheses.txt"), links(results / "alignment.pharaoh")):
        shown = [source.split()[i] for i, _ in sorted(found, key=lambda link: link[1])]
        pairs = " ".join(f"{word}/{other}" for word, other in zip(target.split(), shown))
        assert f"  {source}\n  {target}\n  {pairs}\n" in printed


def test_again_does_nothing_anew(place):
    folder, printed = place
    again = run(folder)
    # Generated, binarized, two times trained and translated, aligned.
    assert again.count("done before:") == 7
    assert again[again.index("Alignment of the") :] == printed[printed.index("Alignment of the") :]


def test_another_corpus_is_not_mistaken_for_this_one(place):
    folder, _ = place
    message = run(folder, succeeds=False, GENERATE_FLAGS="--train 400")
    assert "was generated with other flags than GENERATE_FLAGS='--train 400'" in message


def test_the_other_direction_flips_the_links(place):
    folder, _ = place
    printed = run(folder, "--src", "de", "--tgt", "en")
    flipped = [{(j, i) for i, j in line} for line in links(folder / "data" / "test.align")]
    assert links(folder / "de-en" / "attention" / "gold.align") == flipped
    assert "| hypothesis |" in printed


def test_a_training_that_fails_stops_the_recipe(place, tmp_path):
    folder, _ = place
    seed = ("--seed", "2", "--stage", "3", "--stop-stage", "3")
    broken = folder / "en-de" / "attention-seed2"
    broken.mkdir()
    (broken / "checkpoints").write_text("a file where fairseq wants a folder")
    message = run(folder, *seed, succeeds=False)
    assert "training failed: attention, see console.log in" in message
    assert not (broken / "trained").exists() and (folder / "en-de" / "fixed_context-seed2" / "trained").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["small"], "this recipe has no MODEL"),
        (["--raw", "x"], "this recipe has no --raw"),
        (["--tgt", "fr"], "--src and --tgt are en and de, or de and en, not en and fr"),
        (["--stage", "9"], "numbers from 1 to 8"),
        (["--seed", "0"], "--seed must be a number from 1 on, not '0'"),
        (["--stage", "6"], "is missing: run from --stage 4"),
    ],
)
def test_bad_arguments_get_one_line(tmp_path, flags, message):
    assert message in run(tmp_path / "work", *flags, succeeds=False)
