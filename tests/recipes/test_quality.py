"""docs/quality.md shows what its notes say, and a note says what is in the folder of a run."""

import json
import shutil
import statistics
import sys

import pytest
from support import ROOT, write

sys.path.insert(0, str(ROOT / "benchmarks"))
import quality

LOG = (
    "num. shared model params: 1,234 (num. trained: 1,234)",
    "epoch 001 | valid on 'valid' subset | loss 6 | ppl 20.5 | num_updates 11",
    "epoch 001 | loss 8 | wps 9 | num_updates 11 | train_wall 60",
    "epoch 002 | valid on 'valid' subset | loss 6 | ppl {} | num_updates 22",
    "epoch 002 | loss 8 | wps 9 | num_updates 22 | train_wall 60",
)


def make_run(folder, perplexity, bleu, cpu_seconds):
    (folder / "valid").mkdir(parents=True)
    write(folder / "train.log", [line.format(perplexity) for line in LOG])
    write(folder / "flags.args", ["--arch x"])
    costs = [{"seconds": 120, "peak_memory_gb": 1, "cpu_seconds": seconds} for seconds in cpu_seconds]
    write(folder / "training.jsonl", map(json.dumps, costs))
    scores = {"sentences": 2, "source": "s", "reference": "r", "reference_sha256": "0"}
    scores.update(
        {name: {"score": bleu + more, "signature": f"of:{name}"} for name, more in (("BLEU", 0), ("chrF2", 20))}
    )
    (folder / "valid" / "scores.json").write_text(json.dumps(scores))
    write(folder / "valid" / "search.args", ["--beam 5"])
    return folder


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """The file of the notes of two rungs, one of two seeds."""
    monkeypatch.setattr(quality, "NOTES", tmp_path / "rungs.json")
    monkeypatch.setattr(quality, "PAGE", tmp_path / "quality.md")
    write(tmp_path / "quality.md", ["before", quality.BEGIN, "old", quality.END, "after"])
    for name, figures, rung in (
        ("a", (9.5, 30.0, [60, 120]), "base"),
        ("a-seed2", (8.5, 31.0, [240]), "base"),
        ("b", (7.25, 33.0, [60, None]), "base, and more"),
    ):
        run(monkeypatch, "note", make_run(tmp_path / name, *figures), "--table", "T", "--rung", rung)
    return tmp_path / "rungs.json"


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["quality.py", *map(str, words)])
    quality.main()


def test_rungs_with_their_seeds(notes, tmp_path, monkeypatch):
    run(monkeypatch, "report")
    page = (tmp_path / "quality.md").read_text().splitlines()
    assert page[:2] == ["before", quality.BEGIN] and page[-2:] == [quality.END, "after"] and "old" not in page
    base, more = (line.split(" | ") for line in page if line.startswith("| base"))
    deviation = f"{statistics.stdev([30, 31]):.2f}"
    assert base[:4] == ["| base", f"9.00 ± {deviation}", f"30.50 ± {deviation}", f"50.50 ± {deviation}"]
    assert base[4:8] == ["1,234", "2 ± 0", "4 ± 1", "2"]
    assert more[:7] == ["| base, and more", "7.25", "33.00", "53.00", "1,234", "2", "–"]
    assert "### T" in page and any("`--beam 5`. BLEU: `of:BLEU`." in line for line in page)


def test_a_second_note_of_a_run_takes_the_place_of_the_first(notes, tmp_path, monkeypatch):
    shutil.rmtree(tmp_path / "b")
    run(monkeypatch, "note", make_run(tmp_path / "b", 6.5, 34.0, [60]), "--table", "T", "--rung", "base, and more")
    assert [(one["seed"], one["perplexity"]) for one in json.loads(notes.read_text())] == [
        ("seed1", 9.5), ("seed2", 8.5), ("seed1", 6.5)]  # fmt: skip


def test_a_training_that_was_measured_in_part_has_no_cpu_minutes(tmp_path):
    folder = make_run(tmp_path / "part", 6.5, 34.0, [60])
    assert quality.note_of(folder, "T", "x", "c")["cpu_minutes"] == 1
    write(folder / "training.jsonl", ['{"seconds": 119, "peak_memory_gb": 1, "cpu_seconds": 60}'])
    assert quality.note_of(folder, "T", "x", "c")["cpu_minutes"] is None


def test_a_run_that_was_not_scored_on_the_validation_text_is_named(notes, tmp_path, monkeypatch, capsys):
    (tmp_path / "b" / "valid" / "scores.json").unlink()
    with pytest.raises(SystemExit):
        run(monkeypatch, "note", tmp_path / "b", "--table", "T", "--rung", "x")
    assert "b/valid/scores.json is missing: run the recipe's stage 'score'" in capsys.readouterr().err


def test_the_page_is_that_of_its_notes():
    page = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    found = quality.rewritten(page, quality.tables(quality.read_notes(quality.NOTES)), quality.BEGIN, quality.END)
    assert found == page
