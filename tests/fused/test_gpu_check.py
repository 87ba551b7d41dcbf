"""``benchmarks/gpu_check.py`` on a CPU: it passes what is right, fails what is wrong, and goes on after a crash."""

import subprocess
import sys

import pytest
import torch
from support import ROOT, environment

from fairseq_bahdanau.fused import Fused

sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu_cases
import gpu_check
import gpu_paths
import gpu_speed
from gpu_report import Report, Setting

CPU = Setting(torch.device("cpu"), quick=True)


def rows(printed, verdict):
    """The names of the rows that begin with this word."""
    return [line.split()[1] for line in printed.splitlines() if line.startswith(f"{verdict} ")]


def test_all_is_right_on_a_cpu():
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--device", "cpu", "--quick"]
    variables = environment(PYTHONPATH=str(ROOT))
    finished = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables)
    assert finished.returncode == 0, finished.stdout
    assert finished.stdout.splitlines()[-1] == "VERDICT: correct yes, faster not measured"
    assert not rows(finished.stdout, "FAIL") and not rows(finished.stdout, "SLOW")
    passed = {name.split("-")[0] for name in rows(finished.stdout, "PASS")}
    skipped = {name.split("-")[0] for name in rows(finished.stdout, "SKIP")}
    assert passed == {"decoder", "encoder", "training", "search"}
    assert skipped == {"no", "memory", "stream", "nccl", "speed"}


class Wrong(Fused):
    """Gives every word a hundredth more attention."""

    def loop_for(self, decoder, embed_gates, source):
        right = super().loop_for(decoder, embed_gates, source)

        def unroll(decoder, embed_gates, last, source):
            states, attention = right(decoder, embed_gates, last, source)
            return states, attention * 1.01

        return unroll


class Crashing(Fused):
    """Cannot be used."""

    def loop_for(self, decoder, embed_gates, source):
        return lambda decoder, embed_gates, last, source: embed_gates.view(-1, 0)


def test_what_is_wrong_fails_and_the_rest_goes_on(monkeypatch, capsys):
    monkeypatch.setitem(gpu_cases.PATHS, "wrong", Wrong)
    monkeypatch.setitem(gpu_cases.PATHS, "crashing", Crashing)
    monkeypatch.setattr(gpu_paths, "ORDERS", gpu_cases.ORDERS[:1])
    assert gpu_check.main(["--device", "cpu", "--quick", "--only", "a"]) == 1
    printed = capsys.readouterr().out
    assert {name.split("-")[1] for name in rows(printed, "PASS")} >= {"reference", "fused"}
    failed = rows(printed, "FAIL")
    assert {"decoder-wrong-fp32-hidden-40", "decoder-wrong-fp16-hidden-40"} < set(failed)
    assert {name.split("-")[1] for name in failed} == {"wrong", "crashing"}
    assert "FAIL decoder-crashing-fp32-hidden-40 RuntimeError: " in printed
    assert (
        "FAIL decoder-wrong-fp32-hidden-40 " in printed and "decoder-wrong-fp32-hidden-40 AttributeError" not in printed
    )
    assert printed.splitlines()[-1] == "VERDICT: correct no, faster not measured"


def test_no_row_is_begun_too_late_and_no_number_does_not_pass(capsys):
    report = Report(CPU, limit=-1)
    report.attempt("late", lambda: pytest.fail("begun"))
    report.at_most("nothing", float("nan"), 1)
    assert "FAIL late OutOfTime: " in capsys.readouterr().out and report.failed == ["late", "nothing"]
    assert report.verdict() == 1


@pytest.mark.parametrize(("faster", "status"), [(1.5, 0), (0.5, 1)])
def test_the_verdict_needs_both(faster, status, capsys):
    report = Report(CPU, limit=60)
    report.faster = faster
    assert report.verdict() == status and "correct yes, faster" in capsys.readouterr().out


def test_speed_is_compared_in_turns(monkeypatch, capsys):
    """The figures mean nothing on a CPU; on a GPU the same code takes events in place of a clock."""
    size = {"SIZES": (6, 7, 8, 9, 10), "TRANSFORMERS": (8, 16, 2, 1), "WORDS": 40, "SHAPES": (5, 4)}
    for name, value in size.items():
        monkeypatch.setattr(gpu_speed, name, {"multi30k": value})
    monkeypatch.setattr(gpu_speed.systems, "SIZES", {})
    monkeypatch.setattr(gpu_speed.systems, "TRANSFORMERS", {})
    monkeypatch.setattr(gpu_speed, "ROUNDS", 2)
    monkeypatch.setattr(gpu_speed, "SEARCH_WORDS", 3)
    report = Report(CPU, limit=60)
    report.attempt("train", lambda: gpu_speed.training_row(CPU, report, "train", "multi30k", gpu_speed.FP16))
    report.attempt("search", lambda: gpu_speed.search_row(CPU, report, "search", 3))
    gpu_speed.built.cache_clear()
    printed = capsys.readouterr().out
    assert not report.failed and report.faster > 0, printed
    wanted = [f"{name}-fused-by-{other}" for name in ("train", "search") for other in ("reference", *gpu_speed.OTHERS)]
    assert sorted(rows(printed, "PASS") + rows(printed, "SLOW")) == sorted(wanted)
