"""Checks and times the loop in Triton on a GPU, beside the fused and the readable loop, in about a minute.

Needs the package's folder, PyTorch and Triton, and no fairseq. Prints a line for each check and each time, and goes on
after a failure. Most of the time goes into compiling, so processes side by side check, and fill Triton's cache for the
times. With ``TRITON_INTERPRET=1`` and no GPU it only checks, at small sizes, to try the script itself.
"""

import functools
import importlib
import os
import statistics
import subprocess
import sys
import time
import types
import warnings
from pathlib import Path

import torch
from torch import nn

STARTED = time.perf_counter()
PACKAGE = Path(__file__).resolve().parent.parent / "fairseq_bahdanau"
if os.environ.get("TRITON_INTERPRET") == "1":
    sys.path.insert(0, str(PACKAGE.parent / "tests"))
    importlib.import_module("triton_support")
bare = types.ModuleType("fairseq_bahdanau")  # the package without what it registers with fairseq
bare.__path__ = [str(PACKAGE)]
sys.modules["fairseq_bahdanau"] = bare
Source = importlib.import_module("fairseq_bahdanau.attention").Source
AdditiveAttention = importlib.import_module("fairseq_bahdanau.attention").AdditiveAttention
recurrence = importlib.import_module("fairseq_bahdanau.recurrence")
fused = importlib.import_module("fairseq_bahdanau.fused")
triton_launch = importlib.import_module("fairseq_bahdanau.fused.triton_launch")

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DEFAULT, LATE, CONDITIONAL = "look-update-generate", "update-look-generate", "update-look-update-generate"
FUSED = {order: twins.unroll for order, twins in fused.ORDERS.items()}
TRITON = {order: fused.triton_choice.twins(order).unroll for order in fused.ORDERS}
# batch, source, target, hidden, attention, annotation
CHECKED = (5, 7, 4, 41, 70, 24), (3, 1, 1, 6, 6, 4), (64, 16, 16, 256, 256, 384), (24, 100, 12, 1000, 1000, 2000)
TIMED = (64, 16, 16, 256, 256, 384), (64, 16, 16, 512, 512, 1024), (112, 32, 32, 1024, 1024, 2048)
TIMED += ((448, 32, 32, 1024, 1024, 2048),)
DTYPES = torch.bfloat16, torch.float32
# Elements of a tile, stages of its loads, warps; None is what the package has.
TILES = (None, (4096, 2, 8), (4096, 3, 8), (2048, 1, 4), (2048, 2, 4), (8192, 1, 8), (8192, 1, 16), (4096, 1, 8))
TILES += ((4096, 1, 16),)
TILE = triton_launch.tile


class Decoder(nn.Module):
    """Has the layers of a decoder that its loop reads, and the readable loop."""

    def __init__(self, order, hidden_size, attention_dim, annotation_dim):
        super().__init__()
        kind = recurrence.ConditionalRecurrence if order == CONDITIONAL else recurrence.Recurrence
        self.order, self.attention = order, AdditiveAttention(hidden_size, annotation_dim, attention_dim, 0)
        self.recurrence = kind(4, annotation_dim, hidden_size, recurrence.GRUCell)
        nn.init.normal_(self.attention.energy, std=attention_dim**-0.5)

    def step(self, embed_gates, last, source):
        """Takes a step of any order, as the decoders do."""
        state = last.cell
        if self.order == LATE:
            state = self.recurrence(embed_gates, last.context, state)
        if self.order == CONDITIONAL:
            state = self.recurrence.first(embed_gates, state)
        context, attention = self.attention(state, source)
        if self.order == DEFAULT:
            state = self.recurrence(embed_gates, context, state)
        if self.order == CONDITIONAL:
            state = self.recurrence.second(context, state)
        return recurrence.State(state, context), attention


def readable(decoder, embed_gates, last, source):
    """Takes all steps, as ``BahdanauDecoder.unroll`` does."""
    states, attentions = [], []
    for gates in embed_gates.unbind(dim=1):
        last, attention = decoder.step(gates, last, source)
        states.append(last)
        attentions.append(attention)
    cells, contexts = (torch.stack(part, dim=1) for part in zip(*states))
    return recurrence.State(cells, contexts), torch.stack(attentions, dim=1)


class Example:
    """Holds a decoder, arguments of its loop, and weights of its results, of some type on some device."""

    def __init__(self, order, size, dtype=torch.float64, device="cpu", padded=True):
        batch, src_len, tgt_len, hidden_size, attention_dim, annotation_dim = size
        torch.manual_seed(1)
        self.decoder = Decoder(order, hidden_size, attention_dim, annotation_dim).to(device, dtype)
        shapes = (batch, tgt_len, 3 * hidden_size), (batch, hidden_size), (batch, annotation_dim)
        shapes += (batch, src_len, attention_dim), (batch, src_len, annotation_dim)
        results = (batch, tgt_len, hidden_size), (batch, tgt_len, annotation_dim), (batch, tgt_len, src_len)
        self.tensors = [torch.randn(shape).to(device, dtype).requires_grad_() for shape in shapes]
        self.weights = [torch.randn(shape).to(device, dtype) for shape in results]
        mask = torch.zeros(batch, src_len, dtype=torch.bool)
        if padded:
            mask = torch.rand(batch, src_len) < 0.3
            mask[0] = True  # a row of padding
        self.mask = mask.to(device)

    def run(self, unroll):
        """Results, and gradients of their weighted sum, by name."""
        embed_gates, state, context, keys, annotations = self.tensors
        last, source = recurrence.State(state, context), Source(keys, annotations, self.mask)
        (cells, contexts), attention = unroll(self.decoder, embed_gates, last, source)
        found = {"states": cells, "contexts": contexts, "attention": attention}
        named = dict(zip(("embed_gates", "state", "context", "keys", "annotations"), self.tensors))
        named.update(self.decoder.named_parameters())
        gradients = torch.autograd.grad(list(found.values()), list(named.values()), self.weights, allow_unused=True)
        return {**found, **{f"d.{name}": part for name, part in zip(named, gradients) if part is not None}}


def errors(found, exact):
    """Relative errors by name, of what is not zero."""
    return {name: ((found[name].cpu().double() - value).norm() / value.norm()).item()
            for name, value in exact.items() if value.norm() > 1e-9}  # fmt: skip


def check(order, size):
    """Compares with float64 on the CPU: the worst error, relative to the readable loop's in the same type."""
    exact = Example(order, size).run(readable)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        example = Example(order, size, dtype, DEVICE)
        theirs = errors(example.run(readable), exact)
        for name, twins in (("fused", FUSED), ("triton", TRITON)):
            torch.use_deterministic_algorithms(name == "triton", warn_only=True)  # NaN in fresh memory
            found = example.run(twins[order])
            ours, again = errors(found, exact), example.run(twins[order])
            torch.use_deterministic_algorithms(False)
            slack = 1e-6 if dtype == torch.float32 else torch.finfo(dtype).eps
            far = {key: error / (2.5 * theirs[key] + slack) for key, error in ours.items()}
            worst = max(far, key=lambda key: far[key] if far[key] == far[key] else float("inf"))
            same = all(torch.equal(found[key], again[key]) for key in found)
            print(
                f"{'PASS' if all(value < 1 for value in far.values()) else 'FAIL'} {name} {order} {size} "
                f"{str(dtype)[6:]}: worst {worst} {ours[worst]:.1e} (readable {theirs[worst]:.1e}), largest "
                f"{max(ours.values()):.1e}, {'same' if same else 'NOT THE SAME'} twice",
                flush=True,
            )


def milliseconds(functions, repeats=20):
    """Median times of functions, taken in turns, by CUDA events."""
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize()
            begin.record()
            function()
            end.record()
            end.synchronize()
            times[name].append(begin.elapsed_time(end))
    return {name: statistics.median(values) for name, values in times.items()}


def captured(function):
    """A CUDA graph of a function, which has no host in it."""
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        function()
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph):
        function()
    return graph


def time_loops(order, size, dtype):
    """Prints times of forward and backward together, as they are and captured in a graph: what the GPU alone takes."""
    example = Example(order, size, dtype, DEVICE, padded=False)
    loops = {"readable": readable, "fused": FUSED[order], "triton": TRITON[order]}
    functions = {name: functools.partial(example.run, unroll) for name, unroll in loops.items()}
    for function in functions.values():
        function()
    times = milliseconds(functions, 20 if size[0] < 200 else 10)
    line = " ".join(f"{name} {value:.2f}" for name, value in times.items())
    try:
        graphs = {name: captured(functions[name]) for name in ("fused", "triton")}
        alone = milliseconds({name: graph.replay for name, graph in graphs.items()}, 10)
        line += " | as a graph: " + " ".join(f"{name} {value:.2f}" for name, value in alone.items())
    except Exception as error:
        line += f" | no graph: {error!r:.150}"
    line += f" | triton x{times['fused'] / times['triton']:.2f}"
    print(f"TIME ms {order} {size} {str(dtype)[6:]}: {line}", flush=True)


def set_tile(setting):
    """Sets what a program takes at once, one of ``TILES``."""

    def changed(*sizes):
        elements, stages, warps = setting
        source = TILE(*sizes)["SOURCE"]
        return {"SOURCE": source, "BLOCK": max(8, elements // source), "STAGES": stages, "num_warps": warps}

    triton_launch.tile = TILE if setting is None else changed


def tune(order, size, dtype):
    """Prints times of other tiles, each captured in a graph, one line for all."""
    example, found = Example(order, size, dtype, DEVICE, padded=False), []
    for setting in TILES:
        set_tile(setting)
        try:
            graph = captured(lambda: example.run(TRITON[order]))
            found.append(f"{setting} {milliseconds({'triton': graph.replay}, 10)['triton']:.2f}")
        except Exception as error:
            found.append(f"{setting} {error!r:.60}")
    set_tile(None)
    print(f"TUNE ms (tile, stages, warps) {order} {size} {str(dtype)[6:]}: {', '.join(found)}", flush=True)


def compile_for(order, size, dtype, setting):
    """Fills Triton's cache with what :func:`time_loops` and :func:`tune` launch."""
    set_tile(setting)
    Example(order, size, dtype, DEVICE, padded=False).run(TRITON[order])
    set_tile(None)


def attempt(function, *arguments):
    """Calls a function; a failure is a line."""
    try:
        function(*arguments)
    except Exception as error:
        print(f"FAIL {function.__name__} {arguments}: {error!r:.400}", flush=True)


def tasks():
    """All that processes side by side may do: checks, and compiling for the times."""
    if DEVICE == "cpu":
        return [(check, order, size) for size in CHECKED[:2] for order in TRITON]
    found = [(check, order, size) for size in CHECKED for order in TRITON]
    for order in (DEFAULT, CONDITIONAL):
        found += [(compile_for, order, size, dtype, TILES[0]) for size in TIMED[1:3] for dtype in DTYPES]
    return found + [(compile_for, DEFAULT, size, DTYPES[0], setting) for size in TIMED[1:3] for setting in TILES[1:]]


def main():
    """Checks, then times, then tries other tiles."""
    warnings.simplefilter("ignore")
    torch.backends.cuda.matmul.allow_tf32 = False
    if len(sys.argv) > 1:
        torch.set_num_threads(1)
        for task in tasks()[int(sys.argv[1]) :: int(sys.argv[2])]:
            attempt(*task)
        return
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU"
    print(f"{device}, torch {torch.__version__}, triton {triton_launch.triton.__version__}", flush=True)
    workers = min(len(tasks()), os.cpu_count())
    command = [sys.executable, __file__]
    running = [subprocess.Popen([*command, str(place), str(workers)]) for place in range(workers)]
    for process in running:
        try:
            process.wait(max(1, 150 - time.perf_counter() + STARTED))
        except subprocess.TimeoutExpired:
            print("FAIL a process of checks does not end", flush=True)
            process.kill()
    print(f"checked after {time.perf_counter() - STARTED:.0f} s", flush=True)
    if DEVICE == "cpu":
        return
    for size in TIMED:
        for dtype in DTYPES:
            for order in (DEFAULT, CONDITIONAL):
                attempt(time_loops, order, size, dtype)
    print(f"timed after {time.perf_counter() - STARTED:.0f} s", flush=True)
    for size in TIMED[1:]:
        attempt(tune, DEFAULT, size, DTYPES[0])
    print(f"done after {time.perf_counter() - STARTED:.0f} s", flush=True)


if __name__ == "__main__":
    main()
