"""What only a GPU can show is checked here: waiting for the device, memory over many shapes, streams, two GPUs."""

import contextlib
import gc
import random
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import torch
from batches import make_dictionary, random_batch
from gpu_cases import AUTOCAST_BF16, FAST, ORDERS, PATHS, along
from gpu_report import Report, Setting
from gpu_runs import FP16, FP32, RATE, Updates, curve, on_device, toy_batches, toy_model, toy_updates
from torch import Tensor, distributed, nn

SHAPES, WARM, BETWEEN = 500, 20, (400, 500)
MEGABYTE = 2**20
BEAM, PROCESSES, PATIENCE = 5, 2, 60  # the last: seconds for two processes
CLOSE = 1e-6  # of losses of a few updates on another stream, and of gradients of two GPUs


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """Makes PyTorch raise where the host would wait for the device."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def encoder_pass(model: nn.Module, device: torch.device) -> Callable[[], None]:
    """Makes the encoder's forward and backward pass."""
    src_tokens = toy_batches(1)[0]["src_tokens"].to(device)
    return lambda: model.encoder(src_tokens)["encoder_out"][0].sum().backward()


def decoder_pass(model: nn.Module, device: torch.device) -> Callable[[], None]:
    """Makes the decoder's forward and backward pass, from annotations that need no gradient."""
    batch = on_device(toy_batches(1)[0], device)
    with torch.no_grad():
        encoder_out = model.encoder(batch["src_tokens"])
    return lambda: model.decoder(batch["prev_output_tokens"], encoder_out)[0].sum().backward()


def search_pass(model: nn.Module, device: torch.device) -> Callable[[], None]:
    """Makes one step of a search, reordering included; the first one, which prepares, is taken here."""
    model.eval()
    src_tokens = toy_batches(1)[0]["src_tokens"].to(device)
    sentences = torch.arange(src_tokens.size(0), device=device).repeat_interleave(BEAM)
    rows = torch.arange(sentences.size(0), device=device)
    words, state = torch.full((rows.size(0), 2), 5, device=device), {}
    with torch.no_grad():
        encoder_out = model.encoder.reorder_encoder_out(model.encoder(src_tokens), sentences)
        model.decoder(words[:, :1], encoder_out, state)

    def step() -> None:
        with torch.no_grad():
            moved = model.encoder.reorder_encoder_out(encoder_out, rows)
            model.decoder.reorder_incremental_state_scripting(state, rows)
            model.decoder(words, moved, state)

    return step


PASSES: Dict[str, Callable[[nn.Module, torch.device], Callable[[], None]]] = {
    "decoder-training": decoder_pass,
    "encoder-training": encoder_pass,
    "search-step": search_pass,
}


def no_wait_row(setting: Setting, report: Report, name: str, path: str, kind: str) -> None:
    """Raises where a pass waits for the device, but for its first time."""
    model = along(path, ORDERS[0], toy_model(ORDERS[0]), FP32, setting.device).train()
    work = PASSES[kind](model, setting.device)
    work()
    with no_waiting():
        work()
    report.at_most(name, 0, 0, "waits")


def waiting_rows(setting: Setting, report: Report) -> None:
    """Looks whether the host has to wait for the device, along every path but the readable one, which packs rows."""
    for path in FAST:
        for kind in PASSES:
            name = f"no-wait-{path}-{kind}"
            if setting.on_gpu:
                report.attempt(name, lambda n=name, p=path, k=kind: no_wait_row(setting, report, n, p, k))
            else:
                report.skip(name, "no GPU")


def memory_row(setting: Setting, report: Report, path: str) -> None:
    """Updates a model with batches of many shapes, and compares the memory before and after."""
    numbers, dictionary, updates = random.Random(1), make_dictionary(24), toy_updates(path, FP32, setting.device)
    reserved, before = {}, 0
    for number in range(WARM + SHAPES):
        if number == WARM:
            before = allocated(updates)
        shape = numbers.randint(1, 64), numbers.randint(2, 40), numbers.randint(2, 40)
        updates.update(on_device(random_batch(dictionary, *shape), setting.device), shape[0] * shape[2])
        reserved[number - WARM + 1] = torch.cuda.memory_reserved()
    grown = abs(allocated(updates) - before) / MEGABYTE
    report.at_most(f"memory-{path}-allocated", grown, 1, f"MB more or less after {SHAPES} shapes")
    early, late = (reserved[number] for number in BETWEEN)
    report.at_most(f"memory-{path}-reserved", late / early, 1.1, f"times, shape {BETWEEN[1]} by {BETWEEN[0]}")
    report.info(f"memory-{path}: at most {torch.cuda.max_memory_allocated() / MEGABYTE:.0f} MB allocated")


def allocated(updates: Updates) -> int:
    """Returns the bytes that tensors take, without gradients."""
    updates.optimizer.zero_grad()
    gc.collect()
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()


def memory_rows(setting: Setting, report: Report) -> None:
    """Looks whether memory grows, along every path but the readable one, which is PyTorch's alone."""
    for path in FAST:
        if setting.on_gpu:
            report.attempt(f"memory-{path}", lambda p=path: memory_row(setting, report, p))
        else:
            report.skip(f"memory-{path}", "no GPU")


def stream_row(setting: Setting, report: Report, name: str, path: str, way: str) -> None:
    """Compares a few updates on the default stream with the same on another."""
    precision = {one.name: one for one in (FP32, FP16, AUTOCAST_BF16)}[way]
    wanted = curve(toy_updates(path, precision, setting.device), toy_batches(5))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        found = curve(toy_updates(path, precision, setting.device), toy_batches(5))
    torch.cuda.current_stream().wait_stream(stream)
    report.at_most(name, float((found / wanted - 1).abs().max()), CLOSE, "relative difference of losses")


def one_process(rank: int, backend: str, path: str, folder: str) -> None:
    """Computes the gradients of one of two processes; the first keeps what both have agreed on."""
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        backend, f"file://{folder}/meeting", timedelta(seconds=PATIENCE), world_size=PROCESSES, rank=rank
    )
    model = along(path, ORDERS[0], toy_model(ORDERS[0]), FP32, device).train()
    shared = nn.parallel.DistributedDataParallel(model, device_ids=[rank] if device.type == "cuda" else None)
    Updates(shared, FP32, model.decoder.dictionary.pad(), RATE).loss(
        on_device(toy_batches(PROCESSES)[rank], device)
    ).backward()
    if rank == 0:
        torch.save([parameter.grad.cpu() for parameter in model.parameters()], Path(folder) / "gradients.pt")
    distributed.destroy_process_group()


def gradients_together(backend: str, path: str) -> List[Tensor]:
    """Returns the gradients of two processes; ends them when they hang."""
    with tempfile.TemporaryDirectory() as folder:
        running = torch.multiprocessing.spawn(one_process, (backend, path, folder), PROCESSES, join=False)
        until = time.monotonic() + PATIENCE
        while not running.join(timeout=1):
            if time.monotonic() > until:
                for process in running.processes:
                    process.kill()
                raise TimeoutError(f"two processes took more than {PATIENCE} s")
        return torch.load(Path(folder) / "gradients.pt", weights_only=True)


def two_processes_row(setting: Setting, report: Report, name: str, backend: str, path: str) -> None:
    """Compares the gradients of two processes with the mean of the two in this one."""
    updates = toy_updates(path, FP32, setting.device)
    for batch in toy_batches(PROCESSES):
        updates.loss(on_device(batch, setting.device)).backward()  # adds to the gradients
    wanted = [parameter.grad.cpu() / PROCESSES for parameter in updates.parameters]
    found = gradients_together(backend, path)
    worst = max(float((one - other).norm() / other.norm()) for one, other in zip(found, wanted) if other.any())
    report.at_most(name, worst, CLOSE * 10, "relative difference of gradients")


def stream_rows(setting: Setting, report: Report) -> None:
    """Looks whether numbers depend on the stream, and on the number of GPUs."""
    for path in PATHS:
        for way in (FP32.name, FP16.name):
            name = f"stream-{path}-{way}"
            if setting.on_gpu:
                report.attempt(name, lambda n=name, p=path, w=way: stream_row(setting, report, n, p, w))
            else:
                report.skip(name, "no GPU")
        name = f"nccl-{path}"
        if setting.on_gpu and torch.cuda.device_count() >= PROCESSES:
            report.attempt(name, lambda n=name, p=path: two_processes_row(setting, report, n, "nccl", p))
        else:
            report.skip(name, "fewer than two GPUs")
