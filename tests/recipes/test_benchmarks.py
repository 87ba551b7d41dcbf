"""The benchmarks measure what they say: one model behind three loops, searches of one length, a whole report."""

import json
import sys

import pytest
import torch
from support import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import curves
import floor
import measure
import run
import systems

TINY = (6, 7, 8, 9, 10)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(systems, "SIZES", {"small": TINY})
    monkeypatch.setattr(run, "SIZES", {"small": TINY})
    monkeypatch.setattr(systems, "TRANSFORMERS", {"small": (8, 16, 2, 1)})
    monkeypatch.setattr(run, "WORDS", 40)
    monkeypatch.setattr(run, "SENTENCES", 10)
    monkeypatch.setattr(measure, "BATCHES", ((4, 3), (6, 5)))
    monkeypatch.setattr(curves, "TIME_LENGTHS", (3, 5))
    monkeypatch.setattr(curves, "TIME_BATCH", 5)


def test_a_batch_is_what_fairseq_makes():
    dictionary = systems.make_dictionary(40)
    batch = measure.random_batch(dictionary, 10, 6, 5)
    assert len(dictionary) == 40 and batch["src_lengths"].tolist() == [6] * 8 + [5] * 2
    assert batch["src_tokens"][:, -1].eq(2).all() and batch["src_tokens"][8:, 0].eq(1).all()
    assert batch["target"][:8, -1].eq(2).all() and batch["target"][8:, -2].eq(2).all()
    assert batch["target"][8:, -1].eq(1).all() and batch["prev_output_tokens"][8:, -1].eq(1).all()
    assert batch["prev_output_tokens"][:, 0].eq(2).all()
    assert torch.equal(batch["prev_output_tokens"][:, 1:4], batch["target"][:, :3])


def test_the_three_loops_compute_the_same():
    dictionary = systems.make_dictionary(40)
    batch = measure.random_batch(dictionary, 10, 6, 5)
    inputs = batch["src_tokens"], batch["src_lengths"], batch["prev_output_tokens"]
    logits = {}
    for system in ("ours", "reference", "textbook"):
        model = systems.build(system, "small", dictionary).eval()
        for parameter in model.parameters():
            parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.5
        logits[system] = model(*inputs)[0]
        search = measure.searcher(model, dictionary, beam=3, words=4)
        logits[f"{system} search"] = torch.stack(
            [
                row[0]["tokens"]
                for row in search.generate([], {"net_input": dict(zip(("src_tokens", "src_lengths"), inputs))})
            ]
        )
    for system in ("ours", "textbook"):
        torch.testing.assert_close(logits[system], logits["reference"])
        assert torch.equal(logits[f"{system} search"], logits["reference search"])
    assert logits["ours search"].shape == (10, 5)  # four words and </s>


@pytest.mark.parametrize("system", ["lstm", "transformer"])
def test_the_others_train_and_search(system):
    dictionary = systems.make_dictionary(40)
    model = systems.build(system, "small", dictionary)
    before = [parameter.clone() for parameter in model.parameters()]
    batch = measure.random_batch(dictionary, 10, 6, 5)
    measure.Training(model, dictionary.pad()).update(batch)
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters()))
    sample = {"net_input": {name: batch[name] for name in ("src_tokens", "src_lengths")}}
    found = measure.searcher(model, dictionary, beam=2, words=4).generate([], sample)
    assert {len(row[0]["tokens"]) for row in found} == {5}


def test_the_floor_makes_the_products_of_the_equations(monkeypatch):
    """Multiplications, counted, against the formula: three times the forward pass."""
    made = []
    for name in ("mm", "bmm"):
        function = getattr(torch, name)

        def counted(one, other, function=function):
            made.append(one.numel() * other.size(-1))
            return function(one, other)

        monkeypatch.setattr(torch, name, counted)
    m, e, n, a, l = TINY  # noqa: E741  the paper's letters
    batch, source, target, words = 3, 5, 4, 40
    floor.all_of(floor.update(TINY, batch, source, target, words))()
    encoder = 2 * source * (3 * e * m + 3 * e * e) + source * 2 * e * a
    step = n * a + 3 * n * n + 3 * n * 2 * e + source * 2 * e + 3 * n * m + 2 * l * (n + 2 * e + m) + l * words
    assert sum(made) == 3 * batch * (encoder + target * step + e * n)


def test_a_whole_report(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    parts = ["training", "beam", "greedy", "recurrence", "lengths"]
    monkeypatch.setattr(
        sys, "argv", ["run.py", "--only", *parts, "--size", "small", "--rounds", "2", "--json", "out.json"]
    )
    run.main()
    figures = json.loads((tmp_path / "out.json").read_text())
    assert set(figures["training small"]) == {"ours", "reference", "textbook", "lstm", "transformer", "products"}
    assert all(len(values) == 2 and min(values) > 0 for values in figures["beam small"].values())
    assert len(figures["lengths"]["beam 5"]["ours"]) == 2 and (tmp_path / "benchmarks.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "| lstm |" in printed and "Training, small: target words/s" in printed and "figures: out.json" in printed


def test_memory_is_that_of_one_update(monkeypatch):
    monkeypatch.setattr(curves, "MEMORY_BATCH", 4)
    assert 0 <= curves.peak_of_an_update("ours", "small", 5) < 2**30
