"""The benchmarks measure what they say: one model behind several loops, searches of one length, a whole report."""

import functools
import json
import subprocess
import sys

import pytest
import torch
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from support import ROOT

from fairseq_bahdanau.fused import matmul

sys.path.insert(0, str(ROOT / "benchmarks"))
import batches
import conditions
import floor
import measure
import parts
import peaks
import report
import results
import roofline
import run
import systems

TINY = (6, 7, 8, 9, 10)
DICTIONARY = batches.make_dictionary(40)
SETTING = measure.Setting(rounds=2, threads=1, loss="blockwise", products="best", data="")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(systems, "SIZES", {"small": TINY})
    monkeypatch.setattr(parts, "SIZES", {"small": TINY})
    monkeypatch.setattr(systems, "TRANSFORMERS", {"small": (8, 16, 2, 1)})
    monkeypatch.setattr(batches, "WORDS", 40)
    monkeypatch.setattr(batches, "SENTENCES", 10)
    monkeypatch.setattr(batches, "CAPTIONS", ((4, 3), (6, 5)))
    monkeypatch.setattr(parts, "LENGTHS", (3, 5))
    monkeypatch.setattr(parts, "LENGTHS_BATCH", 5)
    monkeypatch.setattr(parts, "RECURRENCE_SHAPES", ((5, 4, 3), (3, 6, 7)))
    monkeypatch.setattr(matmul, "HAS_ONEDNN", matmul.HAS_ONEDNN)  # given back after --products mm
    monkeypatch.setattr(conditions.os, "getloadavg", lambda: (0.25, 0.5, 0.5))


def build(system):
    return systems.build(system, "small", DICTIONARY, DICTIONARY)


# ------------------------------------------------------------------------------------------- batches and systems


def test_a_batch_is_what_fairseq_makes():
    batch = batches.random_batch(DICTIONARY, 10, 6, 5)
    assert len(DICTIONARY) == 40 and batch["src_lengths"].tolist() == [6] * 8 + [5] * 2
    assert batch["src_tokens"][:, -1].eq(2).all() and batch["src_tokens"][8:, 0].eq(1).all()
    assert batch["target"][:8, -1].eq(2).all() and batch["target"][8:, -2].eq(2).all()
    assert batch["target"][8:, -1].eq(1).all() and batch["prev_output_tokens"][8:, -1].eq(1).all()
    assert batch["prev_output_tokens"][:, 0].eq(2).all()
    assert torch.equal(batch["prev_output_tokens"][:, 1:4], batch["target"][:, :3])
    assert batches.Corpus(DICTIONARY, DICTIONARY, [batch, batch]).words() == 2 * (8 * 5 + 2 * 4)


def test_random_lengths_are_many_and_always_the_same():
    pairs = batches.random_lengths()
    assert len(pairs) == 60 and len(set(pairs)) > 50 and pairs == batches.random_lengths()
    assert {min(map(min, pairs)), max(map(max, pairs))} <= set(range(5, 41)) and any(a != b for a, b in pairs)


def test_real_batches_are_those_of_fairseq_train(data, corpus, monkeypatch):
    """Every sentence is there once an epoch, in batches of similar length that are shuffled, always in the same way."""
    monkeypatch.setattr(batches, "MAX_TOKENS", 80)
    monkeypatch.setattr(batches, "MULTIPLE", 1)  # else fairseq may leave out the last batch
    found = batches.of_folder(data, 1000)
    lines = (corpus / "train.yy").read_text().splitlines()
    assert sum(len(batch["target"]) for batch in found.batches) == len(lines)
    assert found.words() == sum(len(line.split()) + 1 for line in lines)
    for batch in found.batches:
        assert batch["src_tokens"].numel() <= 80 and batch["src_tokens"][:, -1].eq(2).all()
        assert batch["src_lengths"].tolist() == sorted(batch["src_lengths"].tolist(), reverse=True)
    longest = [batch["src_tokens"].size(1) for batch in found.batches]
    assert len(longest) > 10 and longest != sorted(longest) and longest != sorted(longest, reverse=True)
    first = batches.of_folder(data, 3).batches
    assert len(first) == 3
    for one, other in zip(first, found.batches):
        assert torch.equal(one["target"], other["target"])


def test_all_loops_of_an_order_compute_the_same():
    batch = batches.random_batch(DICTIONARY, 10, 6, 5)
    inputs = batch["src_tokens"], batch["src_lengths"], batch["prev_output_tokens"]
    logits = {}
    for system in systems.OURS:
        model = build(system).eval()
        for parameter in model.parameters():
            parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.5
        logits[system] = model(*inputs)[0]
        search = measure.searcher(model, DICTIONARY, beam=3, words=4)
        sample = {"net_input": dict(zip(("src_tokens", "src_lengths"), inputs))}
        logits[f"{system} search"] = torch.stack([row[0]["tokens"] for row in search.generate([], sample)])
    for system in ("ours", "textbook"):
        torch.testing.assert_close(logits[system], logits["reference"])
        assert torch.equal(logits[f"{system} search"], logits["reference search"])
    for system in ("ours-update-look", "ours-conditional"):
        assert (logits[system] - logits["reference"]).abs().max() > 0.01
    assert logits["ours search"].shape == (10, 5)  # four words and </s>


@pytest.mark.parametrize("system", ["ours", "ours-update-look", "ours-conditional", "reference"])
def test_the_fused_systems_are_fused_and_in_their_order(system):
    decoder = build(system).decoder
    kinds = {"ours-update-look": "UpdateLookGenerateDecoder", "ours-conditional": "ConditionalGRUDecoder"}
    assert type(decoder).__name__ == kinds.get(system, "BahdanauDecoder")
    assert (decoder.fused is None) == (system == "reference")


@pytest.mark.parametrize("system", ["lstm", "transformer"])
def test_the_others_train_and_search(system):
    model = build(system)
    before = [parameter.clone() for parameter in model.parameters()]
    batch = batches.random_batch(DICTIONARY, 10, 6, 5)
    measure.Training(model, DICTIONARY.pad(), "blockwise").update(batch)
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters()))
    sample = {"net_input": {name: batch[name] for name in ("src_tokens", "src_lengths")}}
    found = measure.searcher(model, DICTIONARY, beam=2, words=4).generate([], sample)
    assert {len(row[0]["tokens"]) for row in found} == {5}


# --------------------------------------------------------------------------------------------- losses and products


@pytest.mark.parametrize("loss", ["blockwise", "fairseq"])
@pytest.mark.parametrize("system", ["ours", "lstm"])
def test_gradients_are_divided_by_words_and_then_clipped(system, loss, monkeypatch):
    """As fairseq's trainer has them: the gradient of the summed loss is longer than --clip-norm, that of a word not."""
    monkeypatch.setattr(systems, "DROPOUT", 0.0)
    batch = batches.random_batch(DICTIONARY, 10, 6, 5)
    model, expected = build(system), build(system)
    words = batch["target"].ne(1)
    log_probabilities = expected(*(batch[name] for name in ("src_tokens", "src_lengths", "prev_output_tokens")))[0]
    log_probabilities = log_probabilities.log_softmax(dim=2)
    label_smoothed_nll_loss(log_probabilities[words], batch["target"][words], 0.1)[0].backward()
    gradients = [parameter.grad for parameter in expected.parameters()]
    if loss == "fairseq":
        monkeypatch.setattr(measure, "blockwise_loss", None)
    else:
        monkeypatch.setattr(measure, "label_smoothed_nll_loss", None)
    for clip_norm in (1.0, 0.01):
        monkeypatch.setattr(measure, "CLIP_NORM", clip_norm)
        training = measure.Training(model, DICTIONARY.pad(), loss)
        training.optimizer.step = lambda: None
        training.update(batch)
        norm = torch.stack([gradient.norm() for gradient in gradients]).norm() / words.sum()
        assert 0.01 < norm < 1 < norm * words.sum()
        factor = min(1.0, clip_norm / norm) / words.sum()
        for parameter, gradient in zip(model.parameters(), gradients):
            torch.testing.assert_close(parameter.grad, gradient * factor)


@pytest.mark.skipif(not matmul.HAS_ONEDNN, reason="there is one library for a product")
@pytest.mark.parametrize("system", ["ours", "ours-update-look", "ours-conditional"])
def test_products_mm_keeps_ours_from_onednn(system):
    batch = batches.random_batch(DICTIONARY, 10, 6, 5)
    training = measure.Training(build(system), DICTIONARY.pad(), "blockwise")
    calls = {}
    for products in ("best", "mm"):
        SETTING._replace(products=products).apply()
        with torch.profiler.profile() as profile:
            training.update(batch)
        calls[products] = sum("linear_pointwise" in event.name for event in profile.events())
    assert calls["best"] > 0 and calls["mm"] == 0


def test_a_table_is_named_by_what_is_not_the_default(monkeypatch):
    monkeypatch.setattr(measure, "DEFAULT_THREADS", 1)
    assert SETTING.suffix("data", "loss", "products") == ""
    other = SETTING._replace(threads=3, loss="fairseq", products="mm", data="x")
    assert other.suffix("data", "loss", "products") == (
        ", real batches, fairseq's loss, torch.mm for every product of ours, threads: 3"
    )
    assert other.suffix() == ", threads: 3"


# ------------------------------------------------------------------------------------------------------- the floor


@pytest.fixture
def made(monkeypatch):
    """The multiplications of every product that is made."""
    made: list = []
    for name in ("mm", "bmm"):
        function = getattr(torch, name)

        def counted(one, other, function=function):
            made.append(one.numel() * other.size(-1))
            return function(one, other)

        monkeypatch.setattr(torch, name, counted)
    return made


@pytest.mark.parametrize("conditional", [False, True])
def test_the_floor_makes_the_products_of_the_equations(conditional, made):
    """Multiplications, counted, against the formula: three times the forward pass."""
    m, e, n, a, l = TINY  # noqa: E741  the paper's letters
    batch, source, target, words = 3, 5, 4, 40
    second = [floor.second_update(TINY, batch, target)] if conditional else []
    keys = source * 2 * e * a
    step = n * a + 3 * n * n + 3 * n * 2 * e + source * 2 * e + (3 * n * n if conditional else 0)
    floor.all_of(floor.recurrence(TINY, batch, source, target) + second)()
    assert sum(made) == 3 * batch * (keys + target * step)
    made.clear()
    floor.all_of(floor.update(TINY, batch, source, target, words) + second)()
    encoder = 2 * source * (3 * e * m + 3 * e * e)
    step += 3 * n * m + 2 * l * (n + 2 * e + m) + l * words
    assert sum(made) == 3 * batch * (encoder + keys + target * step + e * n)


def test_the_conditional_order_has_a_floor_of_its_own(monkeypatch):
    """Its second update is two products a step and one over all steps, of every batch."""
    works, mm, counted = {}, torch.mm, []
    monkeypatch.setattr(parts, "interleaved", lambda made, _: works.update(made) or {name: [1.0] for name in made})
    monkeypatch.setattr(torch, "mm", lambda one, other: counted.append(one) or mm(one, other))

    def products(name):
        counted.clear()
        works[name]()
        return len(counted)

    parts.recurrence("small", (3, 5, 4), SETTING)
    assert products("products-conditional") - products("products") == 2 * 4 + 1
    parts.training("small", ["ours-conditional"], SETTING)
    assert products("products-conditional") - products("products") == 2 * (3 + 5) + 2


@pytest.mark.parametrize("second", [torch.float16, torch.bfloat16, torch.float64])
def test_the_floor_of_one_precision_leaves_the_others_alone(second, monkeypatch):
    """A process measures several: weights are shared within one precision, never between two."""
    for dtype in (torch.float32, second, torch.float32):
        monkeypatch.setattr(torch, "mm", functools.partial(same_dtype, torch.mm, dtype))
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            floor.all_of(floor.update(TINY, 3, 5, 4, 40))()
        finally:
            torch.set_default_dtype(before)
            monkeypatch.undo()


def same_dtype(function, dtype, one, other):
    """A product, which must be of this precision."""
    assert one.dtype == other.dtype == dtype
    return function(one, other)


def test_the_floor_of_a_loop_is_that_of_its_products(made):
    """The other count of them, by products that are made; looks are over folded values there."""
    shape = roofline.Shape(3, 5, 4, 8, 9)
    sizes = (6, 3 * shape.hidden // 2, shape.hidden, shape.attention, 10)  # annotations as wide as the gates
    columns = shape.attention + 3 * shape.hidden
    floor.all_of(floor.recurrence(sizes, shape.sentences, shape.source, shape.target))()
    by_context = shape.target * shape.sentences * 9 * shape.hidden**2  # which folding takes out of the loop
    keys = shape.sentences * shape.source * 3 * shape.hidden * shape.attention
    assert 2 * (sum(made) - 3 * by_context - 3 * keys) == roofline.multiplications(shape)
    assert (
        roofline.traffic(shape._replace(target=8)) == 2 * roofline.traffic(shape) > 2 * 2 * 4 * columns * shape.hidden
    )


def test_launches_of_a_step_are_those_of_the_speed_page():
    """And the fused ones at most what ``test_fused_costs.py`` allows."""
    told = (ROOT / "docs" / "speed.md").read_text()
    counted = roofline.per_step()
    for name, bounds in (("fused", (10, 20)), ("fused, conditional GRU", (16, 20))):
        assert all(found <= bound for found, bound in zip(counted[name], bounds)), name
    for name, launches in counted.items():
        assert f"| {name} | {' | '.join(f'{count:g}' for count in launches)} |\n" in told


# ------------------------------------------------------------------------------------------------------ conditions

CPUINFO = """processor\t: 0
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
flags\t\t: fpu avx2 avx512f avx512dq

processor\t: 1
cpu family\t: 6
"""


def test_a_processor_is_told_from_others_of_its_name():
    found = conditions.processor_of(CPUINFO)
    assert str(found) == "AMD EPYC, family 25 model 17, AVX2 yes, AVX-512 yes"
    assert conditions.machine_name(found, 2) == "amd-epyc-25-17-2"
    older = conditions.processor_of(CPUINFO.replace(" avx512f avx512dq", ""))
    assert str(older).endswith("AVX2 yes, AVX-512 no")
    other = conditions.processor_of("model name : Intel(R) Xeon(R) CPU @ 2.20GHz\ncpu family : 6\nmodel : 79\n")
    assert conditions.machine_name(other, 16) == "intel-r-xeon-r-cpu-2-20ghz-6-79-16"
    assert str(other) == "Intel(R) Xeon(R) CPU @ 2.20GHz, family 6 model 79"
    unknown = conditions.processor_of("")
    assert str(unknown) == conditions.platform.machine() and conditions.machine_name(unknown, 4).endswith("-4")


def test_a_commit_with_changed_code_is_told(tmp_path):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, stdout=subprocess.DEVNULL)

    assert conditions.commit(tmp_path) == "unknown"
    git("init", "--quiet")
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "fairseq_bahdanau").mkdir()
    (tmp_path / "benchmarks" / "run.py").write_text("1\n")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a", "commit", "--quiet", "--message", "first")
    clean = conditions.commit(tmp_path)
    assert len(clean) >= 7 and " " not in clean
    (tmp_path / "benchmarks" / "results" / "some.json").write_text("{}\n")
    (tmp_path / "notes").write_text("2\n")
    assert conditions.commit(tmp_path) == clean
    (tmp_path / "fairseq_bahdanau" / "new.py").write_text("2\n")
    assert conditions.commit(tmp_path) == f"{clean} with changes"


# --------------------------------------------------------------------------------------------------------- results


def a_run(**figures):
    """A run of rates, quiet unless the figures of lstm say otherwise."""
    table = results.Table("Training, small", "target words/s", "lstm", {"": figures})
    return results.run_of(table, conditions.now(2, "python benchmarks/run.py"))


def test_a_machine_that_was_not_quiet_is_told_with_the_number():
    quiet = a_run(ours=[100.0, 200.0], lstm=[100.0, 108.0, 115.0], products=[1.0, 2.0])
    assert results.noise(quiet) == [] and results.noise({**quiet, "load": 0.5}) == []
    assert results.noise({**quiet, "load": 0.51}) == ["load 0.51 at the start"]
    noisy = a_run(ours=[100.0], lstm=[100.0, 100.0, 116.0])
    assert results.noise(noisy) == ["the rounds of lstm differ by 16.0 %"]
    heading = results.markdown("m", "Training, small", [quiet, {**noisy, "load": 3.6}])[0]
    assert heading == (
        "### m: Training, small: target words/s "
        "(not a quiet machine: run 2: load 3.60 at the start; run 2: the rounds of lstm differ by 16.0 %)"
    )
    assert results.markdown("m", "Training, small", [quiet])[0] == "### m: Training, small: target words/s"
    by_length = {**quiet, "figures": {"3 words": quiet["figures"][""], "5 words": noisy["figures"][""]}}
    assert results.noise(by_length) == ["the rounds of lstm differ by 16.0 %"]


def test_a_table_has_the_runs_side_by_side():
    first = a_run(ours=[1500.0, 1400.0, 1700.0], lstm=[1000.0, 900.0, 1010.0])
    second = {**a_run(ours=[12.0], lstm=[10.0], transformer=[15.0]), "commit": "abc", "load": 0.1}
    text = results.markdown("m", "Training, small", [first, second])
    assert "|  | run 1, against lstm | run 2, against lstm |" in text
    assert "| ours | 1500 (1400 – 1700), 1.50 | 12, 1.20 |" in text and "| transformer |  | 15, 1.50 |" in text
    (line,) = (line for line in text if line.startswith("- run 2"))
    assert "commit abc, load 0.10;" in line and "`python benchmarks/run.py`" in line and first["date"] in line
    assert first["processor"] in line and f"torch {torch.__version__}" in line
    columns = {"3 words": {"ours": [2.0], "lstm": [4.0]}, "5 words": {"ours": [5.0], "lstm": [4.0]}}
    by_length = results.markdown("m", "x", [{**first, "unit": "milliseconds", "figures": columns}] * 2)
    assert "| against lstm | 3 words | 5 words |" in by_length and "| ours, run 2 | 2, 0.50 | 5, 1.25 |" in by_length
    assert by_length[-1] == "lstm is faster than ours by 25.0 % at 5 words in run 1 and by 25.0 % at 5 words in run 2."


def test_peers_that_are_better_are_named_however_little():
    def said(unit="target words/s", **medians):
        return results.better_peers([{**a_run(**{name: [value] for name, value in medians.items()}), "unit": unit}])

    assert said(ours=100, transformer=103, products=200) == "transformer is faster than ours by 3.0 % in run 1."
    assert said(ours=100, lstm=100.01) == "lstm is faster than ours by less than 0.1 % in run 1."
    assert said(ours=100, lstm=100) == said(ours=100, lstm=99.99) == "No peer is faster than ours."
    assert said("seconds", ours=100, lstm=80) == "lstm is faster than ours by 25.0 % in run 1."
    assert said("seconds", ours=100, lstm=101) == "No peer is faster than ours."
    assert said("GB", ours=1.0, lstm=0.8) == "lstm needs less memory than ours by 20.0 % in run 1."
    assert said("GB", ours=1.0, lstm=1.1) == "No peer needs less memory than ours."
    found = said(**{"ours": 9, "lstm": 5, "ours-conditional": 4})
    assert found == "lstm is faster than ours-conditional by 25.0 % in run 1."
    assert said(ours=9, products=10) == said(lstm=9, transformer=10) == "No peer was measured beside ours."


def test_the_last_two_runs_are_kept_in_a_file_that_is_complete(tmp_path, monkeypatch):
    path = tmp_path / "new" / "m.json"
    runs = [a_run(lstm=[float(count), 1234567.891]) for count in (1, 2, 3)]
    for one in runs:
        results.store(path, "a", one)
    results.store(path, "b", runs[0])
    assert results.read(path) == {"a": runs[1:], "b": runs[:1]} == json.loads(path.read_text())
    assert runs[0]["figures"][""]["lstm"] == [1.0, 1234570.0] and set(tmp_path.glob("new/*")) == {path}

    def interrupted(run):
        raise KeyboardInterrupt

    monkeypatch.setattr(results.json, "dumps", interrupted)
    with pytest.raises(KeyboardInterrupt):
        results.store(path, "a", runs[0])
    assert json.loads(path.read_text()) == {"a": runs[1:], "b": runs[:1]}


# ----------------------------------------------------------------------------------------------------------- pages


def repository(folder, figures):
    (folder / "docs").mkdir()
    (folder / "docs" / "speed.md").write_text(f"# Speed\n\n{report.BEGIN}\ntyped\n{report.END}\nmore\n")
    (folder / "README.md").write_text(f"# Name\n\n{report.BEGIN}\n{report.END}\n" if figures else "# Name\n")
    return folder


def test_pages_say_where_nothing_was_measured(tmp_path):
    speed, readme = report.pages(repository(tmp_path, True), report.read_all(tmp_path / "none")).values()
    region = f"{report.BEGIN}\n\n{{}}Nothing was measured yet.\n\n{report.END}\n"
    assert speed == "# Speed\n\n" + region.format("## Measured\n\n") + "more\n"
    assert readme == "# Name\n\n" + region.format("")


def test_pages_have_the_figures_between_their_marks(tmp_path, monkeypatch):
    root, folder = repository(tmp_path, True), tmp_path / "results"
    for ours in (120.0, 130.0):
        results.store(folder / "m.json", "Training, small", a_run(ours=[ours], lstm=[100.0], products=[300.0]))
    results.store(folder / "m.json", "Search with beam 5, small", {**a_run(ours=[50.0], lstm=[100.0]), "load": 2.0})
    results.store(folder / "m.json", "Training, small, real batches", a_run(ours=[777.0], lstm=[1.0]))
    monkeypatch.setattr(report, "ROOT", root)
    monkeypatch.setattr(report, "RESULTS", folder)
    report.main()
    speed, readme = (root / "docs" / "speed.md").read_text(), (root / "README.md").read_text()
    assert "typed" not in speed and speed.startswith("# Speed\n\n<!--") and speed.endswith(f"{report.END}\nmore\n")
    assert speed.count("\n### m: ") == 3 and "| ours | 120, 1.20 | 130, 1.30 |" in speed
    assert "lstm is faster than ours by 100.0 % in run 1." in speed
    rows = [line for line in readme.splitlines() if line.startswith("|")]
    assert rows[::2] == ["|  | training, small | beam 5, small |", "| ours | 1.20 / 1.30 | 0.50 |"]
    assert rows[3:] == [], "the base is 1 throughout, and has no row"
    (line,) = (line for line in readme.splitlines() if line.startswith("How many times"))
    assert f"{conditions.processor()}; cores: {conditions.os.cpu_count()}, threads: 2; commit " in line
    assert line.endswith("Not a quiet machine: beam 5, small, run 1: load 2.00 at the start.")
    machines = report.read_all(folder)
    assert report.pages(root, machines) == {root / "docs" / "speed.md": speed, root / "README.md": readme}


def test_a_page_without_its_marks_is_refused_but_not_the_readme(tmp_path):
    root = repository(tmp_path, False)
    assert set(report.pages(root, {})) == {root / "docs" / "speed.md"}
    for broken in ("", report.BEGIN, f"{report.END}{report.BEGIN}", 2 * (report.BEGIN + report.END)):
        with pytest.raises(ValueError, match="the page needs one"):
            report.rewritten(broken, [])


# ---------------------------------------------------------------------------------------------------------- run.py


def run_benchmarks(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, words)])
    run.main()


def test_a_whole_report(monkeypatch, tmp_path, capsys):
    only = ["--only", "training", "beam", "greedy", "recurrence", "lengths"]
    run_benchmarks(monkeypatch, *only, "--rounds", 2, "--threads", 1, "--size", "small", "--results", tmp_path)
    (path,) = tmp_path.glob("*.json")
    tables = results.read(path)
    machine = conditions.machine_name(conditions.processor(), conditions.os.cpu_count())
    threads = SETTING.suffix()
    assert path.stem == machine and list(tables) == [
        f"{name}{threads}"
        for name in (
            "Training, small",
            "Search with beam 5, small",
            "Search with beam 1, small",
            "The recurrence alone, small, batch, source, target (5, 4, 3)",
            "The recurrence alone, small, batch, source, target (3, 6, 7)",
            "Training by length, small, batch 5",
            "Search with beam 5 by length, small, batch 5",
        )
    ]
    runs = [one for (one,) in tables.values()]
    default = ["ours", "ours-update-look", "ours-conditional", "reference", "textbook", "lstm", "transformer"]
    floors = ["products", "products-conditional"]
    assert list(runs[0]["figures"][""]) == default + floors and list(runs[1]["figures"][""]) == default
    assert list(runs[3]["figures"][""]) == default[:4] + floors
    assert [one["base"] for one in runs] == ["lstm"] * 3 + ["products"] * 2 + ["lstm"] * 2
    assert list(runs[5]["figures"]) == ["3 words", "5 words"]
    for one in runs:
        assert one["threads"] == 1 and one["load"] == 0.25
        assert one["command"] == f"python benchmarks/run.py {' '.join(only)} --size small --rounds 2"
        for systems_ in one["figures"].values():
            assert all(len(values) == 2 and min(values) > 0 for values in systems_.values())
    printed = capsys.readouterr().out
    for name, (one,) in tables.items():
        assert "\n".join(results.markdown(machine, name, [one])) in printed
    assert f"figures: {path}" in printed


def test_real_batches_train_with_the_loss_and_the_products_that_are_asked_for(data, monkeypatch, tmp_path):
    seen = []
    kept = measure.Training.update

    def update(training, batch):
        seen.append((training.loss, batch["target"].ne(1).sum().item()))
        kept(training, batch)

    monkeypatch.setattr(measure.Training, "update", update)
    chosen = ["--systems", "ours", "--loss", "fairseq", "--products", "mm", "--data", data, "--threads", 1]
    run_benchmarks(monkeypatch, "--only", "training", "--size", "small", "--rounds", 1, *chosen, "--results", tmp_path)
    ((name, (one,)),) = results.read(next(tmp_path.glob("*.json"))).items()
    assert name.startswith("Training, small, real batches, fairseq's loss, torch.mm for every product of ours")
    assert "--data bin" in one["command"] and str(data) not in one["command"]
    assert not matmul.HAS_ONEDNN and {loss for loss, _ in seen} == {measure.fairseq}
    corpus = batches.of_folder(data, 20)
    assert [words for _, words in seen] == 2 * [batch["target"].ne(1).sum().item() for batch in corpus.batches]
    assert one["base"] == "ours"


# ---------------------------------------------------------------------------------------------------------- memory


def test_memory_is_that_of_one_update(monkeypatch):
    """The first update is not counted: it makes gradients and what the optimizer keeps."""
    updates = []
    monkeypatch.setattr(measure.Training, "update", lambda training, batch: updates.append(batch))
    monkeypatch.setattr(peaks, "peak_bytes", lambda: 10 ** len(updates))
    assert peaks.peak_of_an_update(SETTING, "ours", "small", 5) == 100 - 10
    assert updates[1]["src_tokens"].shape == (32, 5) == updates[1]["target"].shape


def test_the_footprint_is_taken_after_all_batches(monkeypatch, data):
    updates = []
    monkeypatch.setattr(measure.Training, "update", lambda training, batch: updates.append(batch))
    monkeypatch.setattr(peaks, "peak_bytes", lambda: len(updates))
    assert peaks.peak_of_a_training(SETTING, "ours", "small") == 60
    assert len({batch["src_tokens"].size(1) for batch in updates}) > 10
    real = len(batches.of_folder(data, 60).batches)
    assert peaks.peak_of_a_training(SETTING._replace(data=str(data)), "lstm", "small") == 60 + real


def test_a_process_of_its_own_measures_its_own_peak(data, monkeypatch, tmp_path):
    """A process that has more memory starts it, and that must not count."""
    held = torch.ones(2**28)  # 1 GiB
    assert peaks.peak_bytes() > 4 * held.numel()
    chosen = ["--systems", "ours", "--data", data, "--threads", 1]
    run_benchmarks(monkeypatch, "--only", "footprint", *chosen, "--results", tmp_path)
    ((name, (one,)),) = results.read(next(tmp_path.glob("*.json"))).items()
    assert name.startswith("Peak of a training, small, real batches") and one["unit"] == "GB"
    (peak,) = one["figures"][""]["ours"]
    assert 0.1 < peak < 1.0


def test_memory_and_footprint_are_tables_of_processes(monkeypatch):
    started = []

    def answered(command, **_):
        started.append(command[2:])
        return subprocess.CompletedProcess(command, 0, stdout=b"log\n2000000000\n")

    monkeypatch.setattr(peaks.subprocess, "run", answered)
    table = peaks.footprint(SETTING, ["ours", "lstm"])
    assert table.figures == {"": {"ours": [2.0], "lstm": [2.0]}} and table.base == "lstm"
    assert started[1] == ["training", json.dumps([SETTING, "lstm", "small"])]
    table = peaks.memory(SETTING)
    assert list(table.figures) == ["25 words", "50 words", "100 words", "200 words"] and table.base == "reference"
    assert started[-1] == ["update", json.dumps([SETTING, "reference", "paper", 200])]
