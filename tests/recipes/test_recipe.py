"""The Multi30k recipe on a corpus of 200 lines: to its score, again, after an interruption, and with damaged files."""

import gzip
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
import sacrebleu
from support import RECIPE_SIZES, ROOT, run_recipe

RECIPE = ROOT / "recipes" / "multi30k" / "run.sh"
TINY = f"""# the smallest model that goes through every stage
--arch bigru_bahdanau_maxout
{RECIPE_SIZES}
--share-all-embeddings

--criterion cross_entropy --optimizer adam --lr 0.01 --max-tokens 400 --max-epoch 3
"""


def write_corpus(folder, lines=200):
    """Six gzipped files in the layout of Multi30k, and their sums."""
    numbers = random.Random(5)
    nouns = {"dog": "Hund", "cat": "Katze", "house": "Haus", "tree": "Baum", "boy": "Junge", "girl": "Mädchen"}
    verbs = {"sees": "sieht", "likes": "mag", "finds": "findet", "hears": "hört"}
    folder.mkdir()
    sums = []
    for split, count in (("train", lines), ("val", 12), ("test_2016_flickr", 13)):
        en, de = [], []
        for _ in range(count):
            one, verb, two = numbers.choice(list(nouns)), numbers.choice(list(verbs)), numbers.choice(list(nouns))
            en.append(f"The {one} {verb} the {two} number {numbers.randrange(100)}.")
            de.append(f"Das Ding {nouns[one]} {verbs[verb]} {nouns[two]}, „ja“.")
        for lang, text in (("en", en), ("de", de)):
            content = gzip.compress(("\n".join(text) + "\n").encode(), mtime=0)
            (folder / f"{split}.{lang}.gz").write_bytes(content)
            sums.append(f"{hashlib.sha256(content).hexdigest()}  {split}.{lang}.gz\n")
    (folder / "SHA256SUMS").write_text("".join(sums))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    write_corpus(folder / "raw")
    (folder / "tiny.args").write_text(TINY)
    return folder


def arguments(place, work, *args):
    flags = ("--raw", place / "raw", "--sums", place / "raw" / "SHA256SUMS", "--work", place / work)
    return [RECIPE, place / "tiny.args", *flags, "--vocab-size", "90", *args]


def run(place, *args, work="work", **keywords):
    return run_recipe(*arguments(place, work, *args), **keywords)


def test_to_the_score_and_again(place):
    printed = run(place)
    results = place / "work" / "en-de" / "tiny"
    hypotheses = (results / "hypotheses.de").read_text().splitlines()
    references = (place / "work" / "raw" / "test_2016_flickr.de").read_text().splitlines()
    scores = json.loads((results / "scores.json").read_text())
    assert len(hypotheses) == scores["sentences"] == 13
    wanted = sacrebleu.corpus_bleu(hypotheses, [references])
    assert scores["BLEU"]["score"] == pytest.approx(wanted.score, abs=0.01)
    assert "tok:13a" in scores["BLEU"]["signature"] and "case:mixed" in scores["BLEU"]["signature"]
    assert {"BLEU", "chrF2", "TER"} < set(scores) and f"BLEU = {wanted.score:.2f}" in printed
    assert not any("@@" in line or "▁" in line for line in hypotheses)

    before = {path: path.stat().st_mtime_ns for path in results.rglob("*.pt")}
    again = run(place)
    assert again.count("done before:") == 4 and f"BLEU = {wanted.score:.2f}" in again
    assert before == {path: path.stat().st_mtime_ns for path in results.rglob("*.pt")}


def test_a_learning_rate_falls_to_0_with_the_last_update(place):
    (place / "falling.args").write_text(f"{TINY}--lr-scheduler polynomial_decay --warmup-updates 2\n")
    options = arguments(place, "falling", "--stop-stage", "4")
    printed = run_recipe(options[0], place / "falling.args", *options[2:])
    (total,) = re.findall(r"the learning rate falls to 0 in (\d+) updates", printed)
    log = (place / "falling" / "en-de" / "falling" / "train.log").read_text()
    epochs = re.findall(r"epoch \d+ \| loss.* num_updates (\d+) \| lr ([^ ]+)", log)
    assert len(epochs) == 3 and epochs[-1][0] == total
    for updates, rate in epochs:
        left = (int(total) - int(updates)) / (int(total) - 2)
        assert float(rate) == pytest.approx(0.01 * left, rel=1e-3)


def test_the_validation_set_is_translated_and_scored_beside_the_test_set(place):
    run(place)
    results = place / "work" / "en-de" / "tiny"
    before = {path: path.read_bytes() for path in results.glob("*.*") if path.is_file()}
    run(place, "--stage", "5", "--gen-subset", "valid")
    hypotheses = (results / "valid" / "hypotheses.de").read_text().splitlines()
    references = (place / "work" / "raw" / "val.de").read_text().splitlines()
    scores = json.loads((results / "valid" / "scores.json").read_text())
    assert len(hypotheses) == scores["sentences"] == len(references) == 12
    assert scores["BLEU"]["score"] == pytest.approx(sacrebleu.corpus_bleu(hypotheses, [references]).score, abs=0.01)
    assert before == {path: path.read_bytes() for path in results.glob("*.*") if path.is_file()}
    assert "--gen-subset must be test or valid, not 'train'" in run(place, "--gen-subset", "train", succeeds=False)


def test_killed_in_training_and_run_again_gives_the_same_translations(place):
    run(place)
    first_epoch = place / "killed" / "en-de" / "tiny" / "checkpoints" / "checkpoint1.pt"
    nowhere = subprocess.DEVNULL
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix, "OMP_NUM_THREADS": "1"}
    command = ["bash", *map(str, arguments(place, "killed"))]
    process = subprocess.Popen(command, env=environment, stdout=nowhere, stderr=nowhere, start_new_session=True)
    for _ in range(3000):
        if first_epoch.exists() or process.poll() is not None:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert first_epoch.exists() and not first_epoch.with_name("checkpoint3.pt").exists()
    run(place, work="killed")
    for name in ("hypotheses.de", "scores.json"):
        one, other = ((place / work / "en-de" / "tiny" / name).read_text() for work in ("work", "killed"))
        assert one == other


def test_training_of_other_flags_is_not_mistaken_for_this_one(place):
    run(place, "--stop-stage", "4", work="work")
    (place / "tiny.args").write_text(TINY.replace("--lr 0.01", "--lr 0.02"))
    message = run(place, succeeds=False)
    (place / "tiny.args").write_text(TINY)
    assert "tiny.args is not what" in message and "remove that folder" in message


def test_damaged_archive_stops_the_recipe(place):
    archive = place / "raw" / "val.de.gz"
    content = archive.read_bytes()
    archive.write_bytes(content[:100] + b"x" + content[101:])
    try:
        message = run(place, work="damaged", succeeds=False)
    finally:
        archive.write_bytes(content)
    assert "val.de.gz is damaged or another version" in message
    assert not list((place / "damaged").rglob("val.de*")) and not list((place / "damaged").rglob("*.part"))


def test_files_come_from_an_address_too(place):
    run(place, "--raw", f"file://{place / 'raw'}", "--stop-stage", "1", work="address")
    assert (place / "address" / "raw" / "train.de").read_text().startswith("Das Ding")
    message = run(place, "--raw", "file:///nowhere", "--stop-stage", "1", work="nowhere", succeeds=False)
    assert "file:///nowhere/train.en.gz: " in message and not list((place / "nowhere" / "raw").iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--stage", "5"], "is missing: run from --stage 4"),
        (["--stage", "x"], "--stage and --stop-stage are numbers from 1 to 6"),
        (["--stage", "7"], "--stage and --stop-stage are numbers from 1 to 6"),
        (["--stage", "3", "--stop-stage", "2"], "the first not the greater"),
        (["--tgt"], "--tgt needs a value"),
        (["--nonsense"], "this recipe has no --nonsense"),
        (["--tgt", "fr"], "has no SHA-256 of train.fr.gz"),
        (["--src", "de"], "--src and --tgt are both de"),
        (["--raw", "/nowhere"], "/nowhere/train.en.gz: "),
        (["nomodel"], "one MODEL at a time, not "),
    ],
)
def test_bad_arguments_get_one_line(place, flags, message):
    assert message in run(place, *flags, work="bad", succeeds=False)


def test_vocabulary_that_does_not_suit_the_text(place):
    assert "--vocab-size 70000 does not suit" in run(place, "--vocab-size", "70000", work="large", succeeds=False)
    assert not list((place / "large" / "en-de").glob("spm.model"))


def test_dropped_sentences_are_noticed(tmp_path):
    (tmp_path / "generated").write_text("D-0\t-0.1\tone\nD-2\t-0.1\tthree\n")
    (tmp_path / "reference").write_text("one\ntwo\nthree\n")
    score = [sys.executable, ROOT / "recipes" / "score.py", "--generated", tmp_path / "generated",
             "--source", tmp_path / "reference", "--reference", tmp_path / "reference",
             "--hypotheses", tmp_path / "h", "--scores", tmp_path / "s"]  # fmt: skip
    finished = subprocess.run(score, capture_output=True, text=True)
    assert finished.returncode == 1 and "has no hypothesis of sentence 1" in finished.stderr
    (tmp_path / "generated").write_text("D-0\t-0.1\tone\nD-1\t-0.1\ttwo\n")
    finished = subprocess.run(score, capture_output=True, text=True)
    assert finished.returncode == 1 and "2 hypotheses in" in finished.stderr and "3 references in" in finished.stderr
    assert not (tmp_path / "h").exists() and not (tmp_path / "s").exists()


def test_the_family_side_by_side(place):
    (place / "tiny-fixed.args").write_text(TINY + "--context fixed\n")
    flags = ("--raw", place / "raw", "--sums", place / "raw" / "SHA256SUMS", "--vocab-size", "90")
    models = (place / "tiny.args", place / "tiny-fixed.args")
    printed = run_recipe(RECIPE.with_name("family.sh"), *models, *flags, "--work", place / "work")
    table = [line.strip("|").split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    cells = {row[0].strip(): dict(zip((cell.strip() for cell in table[0]), row)) for row in table[1:]}
    assert list(cells) == ["tiny", "tiny-fixed"]
    for name, row in cells.items():
        folder = place / "work" / "en-de" / name
        assert re.findall(r"valid on .* ppl ([\d.]+) ", (folder / "train.log").read_text())[-1] == row[
            "validation perplexity"]  # fmt: skip
        assert row["BLEU"].split()[0] == f"{json.loads((folder / 'scores.json').read_text())['BLEU']['score']:.2f}"
    assert cells["tiny"]["validation perplexity"] != cells["tiny-fixed"]["validation perplexity"]


def test_two_processes_are_one_with_twice_the_update_frequency(place):
    flags = TINY + "--update-freq 2 --dropout 0.0\n"
    losses = []
    for name, processes in (("one", "1"), ("two", "2")):
        (place / f"{name}.args").write_text(flags)
        recipe, _, *others = arguments(place, "work")
        run_recipe(recipe, place / f"{name}.args", *others, "--processes", processes, "--stop-stage", "4")
        log = (place / "work" / "en-de" / name / "train.log").read_text()
        assert f"training on {processes} devices" in log
        losses.append(sorted(set(re.findall(r"epoch (\d+) (.*?)\| loss ([\d.]+) .*?num_updates (\d+)", log))))
    assert len(losses[0]) == 6 and losses[0] == losses[1]  # of training and validation, three epochs


def test_a_batch_that_cannot_be_divided_is_refused(place):
    assert "has no --update-freq to divide among 2 processes" in run(
        place, "--processes", "2", "--stop-stage", "4", work="undivided", succeeds=False
    )
    (place / "three.args").write_text(TINY + "--update-freq 3")
    recipe, _, *others = arguments(place, "undivided")
    message = run_recipe(recipe, place / "three.args", *others, "--processes", "2", succeeds=False)
    assert "--update-freq 3 of" in message and "cannot be divided among 2 processes" in message
