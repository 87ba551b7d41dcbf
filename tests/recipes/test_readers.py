"""One rule by which text is read: what reads a user's file does so by the functions of fairseq_bahdanau/text.py."""

import ast
import json

import pytest
from support import ROOT

from fairseq_bahdanau import runs
from fairseq_bahdanau.fairseq_logs import read_training_log, read_translation_rate

# Other readers, each with the reason why it may be one. No text of a user is among them.
EXCEPTIONS = {
    "fairseq_bahdanau/text.py": "the rule itself",
    "fairseq_bahdanau/complaints.py": "opens the null device",
    "fairseq_bahdanau/guards/checkpoints.py": "checkpoints, as bytes",
    "fairseq_bahdanau/guards/saving.py": "writes checkpoints",
    "fairseq_bahdanau/runs.py": "appends a line",
    "fairseq_bahdanau/portable/folder.py": "checksums, of bytes",
    "recipes/fetch.py": "downloads, as bytes",
    "recipes/wmt14.py": "unpacks archives, as bytes",
    "recipes/tar_members.py": "archives, as bytes",
    "recipes/translate.py": "asks whether standard input is a terminal",
    "fairseq_bahdanau/translate.py": "asks whether standard input is a terminal",
    "benchmarks/load.py": "files of the system",
    "benchmarks/quality.py": "notes that it wrote itself, and a page of this repository",
    "benchmarks/report.py": "pages of this repository",
    "benchmarks/results.py": "figures that it wrote itself",
    "benchmarks/conditions.py": "files of the system",
    "benchmarks/peaks.py": "files of the system",
}
READERS = {"open", "fdopen", "read_text", "read_bytes", "readlines", "readline", "loadtxt", "genfromtxt", "FileInput"}
FILES = sorted(
    path for folder in ("fairseq_bahdanau", "recipes", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)


def readers(source: str) -> list:
    """Names the functions called in a source that read a file, and ``sys.stdin`` where it is used."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            found += [name] if name in READERS or (name == "load" and "json" in ast.dump(node.func)) else []
        elif isinstance(node, ast.Attribute) and node.attr == "stdin":
            found.append("stdin")
    return found


def test_what_is_looked_for_is_found():
    assert readers("open('a'); p.read_text(); json.load(f); sys.stdin.read(); io.open('b')") == [
        "open", "read_text", "load", "open", "stdin"]  # fmt: skip
    assert readers("stream_lines('a'); torch.load('b'); os.path.join('c')") == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_text_is_read_by_one_rule(path):
    name = str(path.relative_to(ROOT))
    assert bool(readers(path.read_text(encoding="utf-8"))) == (name in EXCEPTIONS), f"{name}: read by text.py"


MARK = b"\xef\xbb\xbf"
SCORES = {"sentences": 1, "source": "a", "reference": "b", "reference_sha256": "0",
          "BLEU": {"score": 1.5, "signature": "s:1"}}  # fmt: skip
LOG = [
    "num. shared model params: 12 (num. trained: 12)",
    "epoch 001 | valid on 'valid' subset | loss 6.4 | ppl 9.5 | wps 1 | wpb 2 | num_updates 3",
    "epoch 001 | loss 8.3 | ppl 190.36 | wps 5 | ups 3 | num_updates 3 | train_wall 4 | wall 140",
]


def test_marks_and_line_ends_of_other_systems_are_no_part_of_what_recipes_wrote(tmp_path):
    """A byte order mark, and lines that end in carriage return and line feed, as an editor leaves them."""

    def spoil(name, content):
        (tmp_path / name).write_bytes(MARK + content.replace("\n", "\r\n").encode())
        return str(tmp_path / name)

    spoil(runs.SCORES, json.dumps(SCORES, indent=2))
    assert runs.read_scores(str(tmp_path)).metrics["BLEU"] == runs.Metric(1.5, "s:1")
    log = read_training_log(spoil("train.log", "\n".join([*LOG, ""])))
    assert log.parameters == 12 and log.validations[0].perplexity == 9.5 and log.epochs[0].seconds == 4
    rate = spoil("generate.log", "Translated 60 sentences (1 tokens) in 2.0s (3.5 sentences/s, 7 t/s)\n")
    assert read_translation_rate(rate) == 3.5
    spoil(runs.TRAINING_COSTS, '{"seconds": 9.5, "peak_memory_gb": 1.25}\n')
    assert runs.read_peak_memory(str(tmp_path)) == 1.25
    for name in (runs.SCORES, "train.log"):
        (tmp_path / name).write_bytes("Straße".encode("latin-1"))
    with pytest.raises(ValueError, match=r"scores\.json, line 1: not UTF-8 text, at byte 4: run the recipe's stage"):
        runs.read_scores(str(tmp_path))
    with pytest.raises(ValueError, match=r"train\.log, line 1: not UTF-8 text, at byte 4"):
        read_training_log(str(tmp_path / "train.log"))
