"""The quickstart's corpus: what is promised of its files, and bad arguments."""

import itertools
import re
import subprocess
import sys

import pytest
from support import ROOT

RECIPE = ROOT / "recipes" / "quickstart"


def generate(folder, *flags):
    command = [sys.executable, RECIPE / "generate.py", "--output", folder, *flags]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)


def read(folder):
    """Of every split, the English words, the German words and the links of every line."""
    found = {}
    for split in ("train", "valid", "test"):
        columns = [(folder / f"{split}.{suffix}").read_text().splitlines() for suffix in ("en", "de", "align")]
        assert len({len(column) for column in columns}) == 1
        found[split] = [
            (en.split(" "), de.split(" "), {tuple(map(int, link.split("-"))) for link in align.split(" ")})
            for en, de, align in zip(*columns)
        ]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    finished = generate(folder)
    assert finished.returncode == 0 and finished.stderr == ""
    return folder


def test_every_word_is_aligned_and_every_link_points_at_a_word(folder):
    for en, de, found in itertools.chain(*read(folder).values()):
        assert {i for i, _ in found} == set(range(len(en)))
        assert {j for _, j in found} == set(range(len(de)))


def test_splits_are_disjoint_on_both_sides(folder):
    corpus = read(folder)
    assert [len(corpus[split]) for split in ("train", "valid", "test")] == [20000, 500, 1000]
    for side in (0, 1):
        sentences = [" ".join(line[side]) for line in itertools.chain(*corpus.values())]
        assert len(set(sentences)) == len(sentences)


def test_lengths(folder):
    corpus = read(folder)
    for side in (0, 1):
        train, test = (sorted(len(line[side]) for line in corpus[split]) for split in ("train", "test"))
        assert train[0] == 3 and 10 <= train[10000] <= 14 and sum(length > 30 for length in train) < 0.10 * 20000
        assert test[0] <= 4 and 58 <= test[-1] <= 60 and 400 < sum(length > 30 for length in test)
        assert all(sum(low < length <= low + 10 for length in test) > 80 for low in range(0, 60, 10))


def test_words(folder):
    corpus = read(folder)
    for side in (0, 1):
        words = {word for line in corpus["train"] for word in line[side]}
        assert 200 < len(words) < 600
        assert {word for line in corpus["test"] for word in line[side]} <= words
        assert all(re.fullmatch(r"[A-Za-zÄÖÜäöüß]+|[.,?]", word) for word in words)
        assert all(line[side][-1] in ".?" and not {".", "?"} & set(line[side][:-1]) for line in corpus["train"])
        assert not any(", ," in " ".join(line[side]) or ", ." in " ".join(line[side]) for line in corpus["train"])


def test_same_seed_same_corpus_and_test_set_of_any_training_size(folder, tmp_path):
    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(
        f"{split}.{suffix}" for split in ("train", "valid", "test") for suffix in ("en", "de", "align")
    )
    assert generate(tmp_path / "same" / "again", "--seed", "1").returncode == 0
    assert all((tmp_path / "same" / "again" / name).read_bytes() == (folder / name).read_bytes() for name in files)
    assert generate(tmp_path / "small", "--train", "10").returncode == 0
    assert (tmp_path / "small" / "test.de").read_bytes() == (folder / "test.de").read_bytes()
    assert generate(tmp_path / "other", "--train", "10", "--seed", "2").returncode == 0
    one, other = (set((place / "test.de").read_text().split("\n")) for place in (folder, tmp_path / "other"))
    assert len(one & other) < 50  # some short ones


def test_max_words(tmp_path):
    assert generate(tmp_path, "--train", "300", "--valid", "10", "--test", "100", "--max-words", "9").returncode == 0
    assert max(len(line[side]) for line in itertools.chain(*read(tmp_path).values()) for side in (0, 1)) == 9


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--train", "0"], "--train must be at least 1, not 0"),
        (["--test", "-1"], "--test must be at least 1, not -1"),
        (["--valid", "many"], "argument --valid: invalid int value: 'many'"),
        (["--seed", "-1"], "--seed must be at least 0, not -1"),
        (["--max-words", "2"], "--max-words must be at least 3, not 2"),
        (["--max-words", "3"], "different sentences with --max-words 3: give a greater one, or smaller --train"),
        (["--output", __file__], f"--output {__file__}: File exists"),
    ],
)
def test_bad_arguments_get_one_line(tmp_path, flags, message):
    finished = generate(tmp_path / "new", "--train", "5", "--valid", "5", *flags)
    assert finished.returncode != 0 and message in finished.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "new").exists()
