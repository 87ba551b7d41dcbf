"""Compiles every kernel for GPUs that need not be here, and prints registers, spills and shared memory, a line each.

Run as ``python tests/triton_compile.py``, without ``TRITON_INTERPRET``; ends with 1 where a kernel spills registers.
"""

import inspect
import re
import subprocess
import sys
import tempfile
from typing import NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from fairseq_bahdanau.fused import triton_kernels as kernels
from fairseq_bahdanau.fused.triton_launch import BLOCK, KEYS_TILE, backward_tile, tile

FLOATS = {"carry", "passed", "by_scores", "by_energy"}
SINGLE = {"t", "look"}  # numbers that change from step to step, for which no code is specialised
SIZES = (1, 6), (16, 512), (32, 1024), (64, 1024), (100, 1000), (200, 1024), (1000, 1024)  # of source and state
LOOK_FLAGS = {"HAS_INPUTS": True, "HAS_ORDER": False, "UPDATES": True, "AVERAGES": False}
LOOKS = (
    {},
    {"HAS_INPUTS": False},
    {"UPDATES": False},
    {"HAS_ORDER": True, "AVERAGES": True},
    {"HAS_ORDER": True, "AVERAGES": True, "HAS_INPUTS": False},
    {"HAS_ORDER": True, "AVERAGES": True, "UPDATES": False, "HAS_INPUTS": False},
)


class Usage(NamedTuple):
    """Says what a kernel takes of a GPU."""

    registers: int
    spills: int  # bytes
    shared: int  # bytes


def compile_kernel(kernel, constants, dtype, capability, aligned) -> Usage:
    """Compiles a kernel; ``aligned`` says whether all sizes are multiples of 16, as Triton sees of a real call."""
    options = {"num_warps": constants.pop("num_warps", 4)}
    names = list(inspect.signature(kernel.fn).parameters)
    constants = {name: value for name, value in constants.items() if name in names}
    sizes = {"t", "look", "rows", "steps", "src_len", "query_dim", "size", "width", "product_dim", "value_dim"}
    types = {"padding_mask": "*u8", "order": "*i64", **{name: "i32" for name in sizes}}
    types.update({name: "*fp32" for name in FLOATS}, **{name: "constexpr" for name in constants})
    signature = {name: types.get(name, f"*{dtype}") for name in names}
    free = SINGLE | set(constants) | (set() if aligned else sizes)
    attrs = {(place,): [["tt.divisibility", 16]] for place, name in enumerate(names) if name not in free}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attrs)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    return usage(compiled)


def usage(compiled) -> Usage:
    """Reads from a cubin what it takes."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        tool = triton.knobs.nvidia.cuobjdump.path
        text = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    registers, stack, local = (int(re.search(rf"{name}:(\d+)", text)[1]) for name in ("REG", "STACK", "LOCAL"))
    return Usage(registers, stack + local, compiled.metadata.shared)


def cases(all_sizes: bool):
    """Yields name, kernel and constants of all that is launched."""
    for src_len, size in SIZES if all_sizes else SIZES[1::4]:
        looks = tile(src_len, size, size)
        for flags in LOOKS:
            yield f"step_forward src {src_len} {flags}", kernels.step_forward, {**LOOK_FLAGS, **flags, **looks}
        for updates in (True, False):
            yield (
                f"step_backward src {src_len} {updates}",
                kernels.step_backward,
                {"UPDATES": updates, **backward_tile(looks)},
            )
    yield "keys_backward", kernels.keys_backward, KEYS_TILE
    yield "gru_forward", kernels.gru_forward, {"BLOCK": BLOCK}
    for has_readers in (True, False):
        yield f"gru_backward {has_readers}", kernels.gru_backward, {"HAS_READERS": has_readers, "BLOCK": BLOCK}


def main(thorough: bool) -> int:
    """Compiles all of them."""
    spills = 0
    for name, kernel, constants in cases(thorough):
        for dtype in ("fp32", "fp16", "bf16") if thorough else ("fp32", "bf16"):
            for capability in (80, 90):
                for aligned in (True, False) if thorough else (True,):
                    used = compile_kernel(kernel, dict(constants), dtype, capability, aligned)
                    spills += used.spills
                    print(f"sm_{capability} {dtype} aligned={aligned} {name}: {used}", flush=True)
    return int(spills > 0)


if __name__ == "__main__":
    sys.exit(main(thorough="--all" in sys.argv))
