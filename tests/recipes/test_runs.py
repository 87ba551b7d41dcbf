"""fairseq_bahdanau.runs: what a recipe writes into the folder of a run is read again as it was."""

import json

import pytest

from fairseq_bahdanau import runs
from fairseq_bahdanau.fairseq_logs import read_translation_rate

METRICS = {"BLEU": runs.Metric(12.5, "nrefs:1|tok:13a"), "BLEU, tokenised": runs.Metric(13.0, "nrefs:1|tok:none")}
SCORES = runs.Scores(3, "../raw/test.en", "../raw/test.de", "ab12", METRICS)
# As the recipes have always written it.
WRITTEN = """{
  "sentences": 3,
  "source": "../raw/test.en",
  "reference": "../raw/test.de",
  "reference_sha256": "ab12",
  "BLEU": {
    "score": 12.5,
    "signature": "nrefs:1|tok:13a"
  },
  "BLEU, tokenised": {
    "score": 13.0,
    "signature": "nrefs:1|tok:none"
  }
}"""


def test_scores_are_written_and_read(tmp_path):
    assert SCORES.to_json() == WRITTEN and runs.Scores.from_json(WRITTEN) == SCORES
    (tmp_path / runs.SCORES).write_text(WRITTEN)
    assert runs.read_scores(str(tmp_path)) == SCORES
    assert list(runs.read_scores(str(tmp_path)).metrics) == list(METRICS)


DAMAGES = ["", "[]", "{}", "3", WRITTEN.replace('"source"', '"sauce"'), WRITTEN[:-1], "[" * 99999]


@pytest.mark.parametrize("damage", DAMAGES, ids=range(len(DAMAGES)))
def test_damaged_scores_name_the_stage(tmp_path, damage):
    (tmp_path / runs.SCORES).write_text(damage)
    with pytest.raises(ValueError, match=r"scores.json is not what a recipe writes .*: run the recipe's stage 'score'"):
        runs.read_scores(str(tmp_path))


def test_costs_are_appended_and_the_peak_is_of_all_parts(tmp_path):
    path = tmp_path / runs.TRAINING_COSTS
    assert runs.read_peak_memory(str(tmp_path)) is None
    for seconds, peak in ((9.5, 1.25), (3.0, 1.5), (4.0, 0.125)):
        runs.Costs(seconds, peak).append_to(str(path))
    assert json.loads(path.read_text().splitlines()[0]) == {
        "seconds": 9.5, "peak_memory_gb": 1.25, "cpu_seconds": None}  # fmt: skip
    with path.open("a") as file:
        file.write('{"seconds": 1, "peak_memory_gb": 0.5}\n')  # as it was before processors were looked at
    assert runs.read_costs(str(tmp_path))[-1] == runs.Costs(1, 0.5)
    assert runs.read_peak_memory(str(tmp_path)) == 1.5
    path.write_text("")
    with pytest.raises(ValueError, match="run the recipe's stage 'train'"):
        runs.read_peak_memory(str(tmp_path))


def test_every_file_has_a_stage_that_writes_it():
    named = [value for name, value in vars(runs).items() if name.isupper() and type(value) is str]
    assert sorted(named) == sorted(runs.STAGES) and set(runs.STAGES.values()) == {"train", "translate", "score"}


def test_the_last_translation_counts(tmp_path):
    line = "INFO:x:Translated 60 sentences (1,299 tokens) in 2.0s ({} sentences/s, 7 t/s)\n"
    (tmp_path / "generate.log").write_text(line.format("101.25") + "x\n" + line.format("1,017.50"))
    assert read_translation_rate(str(tmp_path / "generate.log")) == 1017.5
