"""Training and search are timed here on a GPU beside fairseq's own models, in turns, and what a step costs is counted.

Times are from CUDA events: where the host is slower than the GPU, they are the host's.
"""

import copy
import functools
import statistics
import time
from typing import Callable, Dict, List, Tuple

import floor
import systems
import torch
from batches import Batch, make_dictionary, random_batch
from gpu_cases import AUTOCAST_BF16, ORDERS, PATHS, Precision, along
from gpu_report import Report, Setting
from gpu_runs import FP16, FP32, Updates, on_device
from measure import searcher
from torch import nn

from fairseq_bahdanau.attention import Source
from fairseq_bahdanau.recurrence import State

# As the recipes have them: embedding, encoder state per direction, decoder state, attention, readout.
SIZES = {"multi30k": (128, 128, 256, 256, 128), "wmt14": (512, 1024, 1024, 1024, 512)}
# Model dimension, feed-forward dimension, heads, layers on each side: transformer_tiny and base.
TRANSFORMERS = {"multi30k": (128, 256, 4, 4), "wmt14": (512, 2048, 8, 6)}
WORDS = {"multi30k": 8000, "wmt14": 32000}
SHAPES = {"multi30k": (64, 16), "wmt14": (112, 32)}  # sentences, words on each side
OTHERS = ("lstm", "transformer")
# The comparison that the verdict tells: the recipes train with --fp16 on a GPU.
TOLD = ("multi30k", FP16.name)
WARM, ROUNDS, FEWEST, SECONDS = 3, 20, 5, 6.0  # of the last only if FEWEST are done
BEAM, SEARCH_WORDS, SEARCH_BATCHES = 5, 20, (64, 256)
STEPS = (10, 20)

Work = Callable[[], object]


@functools.lru_cache(maxsize=None)
def built(system: str, size: str) -> nn.Module:
    """Builds a model of ours, readable, or one of fairseq's, on the CPU."""
    systems.SIZES.setdefault(size, SIZES[size])
    systems.TRANSFORMERS.setdefault(size, TRANSFORMERS[size])
    dictionary = make_dictionary(WORDS[size])
    return systems.build(system, size, dictionary, dictionary)


def model_of(system: str, size: str, way: Precision, device: torch.device) -> nn.Module:
    """Returns a model of a path of ours, or of fairseq's, on its device."""
    if system in PATHS:
        return along(system, ORDERS[0], built("reference", size), way, device)
    return copy.deepcopy(built(system, size)).to(device, way.of_module())


def milliseconds(setting: Setting, work: Work) -> float:
    """Returns the time of one call, from where the device has nothing to do to where it is done."""
    setting.wait()
    if not setting.on_gpu:
        start = time.perf_counter()
        work()
        return 1000 * (time.perf_counter() - start)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def in_turns(setting: Setting, report: Report, name: str, works: Dict[str, Work]) -> Dict[str, float]:
    """Returns the median milliseconds of all works, which take turns; one that fails is left out, with a row."""
    running: Dict[str, Work] = {}

    def warm(system: str, work: Work) -> None:
        for _ in range(WARM):
            work()
        setting.wait()
        running[system] = work

    for system, work in works.items():
        report.attempt(f"{name}-{system}", lambda system=system, work=work: warm(system, work))
    times: Dict[str, List[float]] = {system: [] for system in running}
    until = time.monotonic() + SECONDS
    for number in range(ROUNDS):
        if number >= FEWEST and time.monotonic() > until:
            break
        for system, work in running.items():
            times[system].append(milliseconds(setting, work))
    report.info(f"{name}: median of {min(map(len, times.values()), default=0)} rounds")
    return {system: statistics.median(values) for system, values in times.items()}


def compare_speed(report: Report, name: str, times: Dict[str, float]) -> float:
    """Prints how much faster the fused path is than each other; returns by how much at least."""
    ratios = {system: times[system] / times["fused"] for system in ("reference", *OTHERS) if system in times}
    for system, ratio in ratios.items():
        report.fast(f"{name}-fused-by-{system}", ratio > 1, ratio, 1)
    return min(ratios.values())


def products(size: str, way: Precision, device: torch.device) -> Work:
    """Makes the matrix products of an update of ours, and nothing else."""
    sentences, words = SHAPES[size]
    before = torch.get_default_dtype()
    torch.set_default_dtype(way.dtype)
    try:
        with device:
            return floor.all_of(floor.update(SIZES[size], sentences, words, words, WORDS[size]))
    finally:
        torch.set_default_dtype(before)


def training_row(setting: Setting, report: Report, name: str, size: str, way: Precision) -> None:
    """Times updates of all systems with one batch."""
    dictionary, (sentences, words) = make_dictionary(WORDS[size]), SHAPES[size]
    torch.manual_seed(1)
    batch = random_batch(dictionary, sentences, words, words)
    amount = int(batch["target"].ne(dictionary.pad()).sum())
    batch = on_device(batch, setting.device)
    works: Dict[str, Work] = {}

    def make(system: str) -> None:
        updates = Updates(model_of(system, size, way, setting.device), way, dictionary.pad(), 1e-4)
        works[system] = lambda: updates.update(batch, amount)

    for system in (*PATHS, *OTHERS):
        report.attempt(f"{name}-{system}", lambda system=system: make(system))
    works["products"] = products(size, way, setting.device)
    times = in_turns(setting, report, name, works)
    for system, value in times.items():
        rates = f"{1000 / value:.1f} updates/s, {1000 * amount / value:.0f} target words/s"
        report.info(f"{name}-{system}: {value:.3f} ms, {rates}")
    share = times["products"] / times["fused"]
    report.info(f"{name}: the products alone take {share:.0%} of the fused update's time")
    ratio = compare_speed(report, name, times)
    if (size, way.name) == TOLD:
        report.faster = ratio


def search_row(setting: Setting, report: Report, name: str, sentences: int) -> None:
    """Times searches of all systems, every translation of the same length, in fp16 as the recipes do."""
    size, dictionary = "multi30k", make_dictionary(WORDS["multi30k"])
    torch.manual_seed(1)
    batch: Batch = on_device(random_batch(dictionary, sentences, SHAPES[size][1], 1), setting.device)
    sample = {"net_input": {key: batch[key] for key in ("src_tokens", "src_lengths")}}
    works: Dict[str, Work] = {}

    def make(system: str) -> None:
        search = searcher(model_of(system, size, FP16, setting.device), dictionary, BEAM, SEARCH_WORDS)
        works[system] = lambda: search.generate([], sample)

    for system in (*PATHS, *OTHERS):
        report.attempt(f"{name}-{system}", lambda system=system: make(system))
    times = in_turns(setting, report, name, works)
    for system, value in times.items():
        rates = f"{1000 / value:.2f} searches/s, {1000 * sentences / value:.0f} sentences/s"
        report.info(f"{name}-{system}: {value:.2f} ms, {rates}, {value / SEARCH_WORDS:.2f} ms a step")
    compare_speed(report, name, times)


def kernels(work: Work) -> int:
    """Counts the kernels that a piece of work starts, copies and fills among them."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        work()
        torch.cuda.synchronize()
    return sum(event.device_type == torch.autograd.DeviceType.CUDA for event in profile.events())


def loop_kernels(path: str, steps: int, device: torch.device) -> Tuple[int, int]:
    """Counts the kernels of the decoder's loop, forward and backward."""
    decoder = model_of(path, "multi30k", FP16, device).decoder.train()
    sentences, source = SHAPES["multi30k"]
    hidden, annotation = decoder.recurrence.cell.hidden_size, decoder.recurrence.context_gates.in_features
    shapes = [(sentences, steps, 3 * hidden), (sentences, hidden), (sentences, annotation)]
    shapes += [(sentences, source, len(decoder.attention.energy)), (sentences, source, annotation)]
    tensors = [torch.randn(shape, device=device, dtype=FP16.dtype, requires_grad=True) for shape in shapes]
    embed_gates, state, context, keys, annotations = tensors
    mask = torch.zeros(sentences, source, dtype=torch.bool, device=device)
    weights = [value for name, value in decoder.named_parameters() if name.startswith(("attention.q", "recurrence.ce"))]
    outputs = {}

    def forward() -> None:
        states, _ = decoder.unroll(embed_gates, State(state, context), Source(keys, annotations, mask))
        outputs["total"] = [states.cell, states.context]

    def backward() -> None:
        ones = [torch.ones_like(output) for output in outputs["total"]]
        torch.autograd.grad(outputs["total"], [embed_gates, state, keys, annotations, *weights], ones)

    forward(), backward()
    return kernels(forward), kernels(backward)


def kernels_row(setting: Setting, report: Report) -> None:
    """Counts the kernels of a step of every path: the difference between two lengths."""
    per_step = {}
    for path in PATHS:
        few, many = (loop_kernels(path, steps, setting.device) for steps in STEPS)
        per_step[path] = [(more - less) / (STEPS[1] - STEPS[0]) for less, more in zip(few, many)]
        told = "{:.1f} forward, {:.1f} backward".format(*per_step[path])
        report.info(f"kernels-{path}: of a target step {told}; {sum(many)} of {STEPS[1]} steps")
    total = {path: sum(counts) for path, counts in per_step.items()}
    bound = total["reference"] / 2
    report.fast(
        "kernels-fused-per-step", total["fused"] <= bound, total["fused"], bound, "at most half the reference's"
    )


def speed_rows(setting: Setting, report: Report) -> None:
    """Times what the verdict needs first."""
    if not setting.on_gpu:
        report.skip("speed", "no GPU")
        return
    for size in SIZES:
        for way in (FP16, FP32, AUTOCAST_BF16):
            name = f"speed-train-{size}-{way.name}"
            report.attempt(name, lambda n=name, s=size, w=way: training_row(setting, report, n, s, w))
    for sentences in SEARCH_BATCHES:
        name = f"speed-search-batch-{sentences}"
        report.attempt(name, lambda n=name, s=sentences: search_row(setting, report, n, s))
    report.attempt("kernels", lambda: kernels_row(setting, report))
