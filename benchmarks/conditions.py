"""What a figure depends on is found out here: processor, load, commit, versions."""

import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import torch
from results import Conditions

ROOT = Path(__file__).resolve().parent.parent
CPUINFO = Path("/proc/cpuinfo")
# What of the tree decides a figure; the results themselves do not.
CODE = ("fairseq_bahdanau", "benchmarks", ":!benchmarks/results")


class Processor(NamedTuple):
    """Names a processor: what the vendor calls it, and its generation, family and model, where the system tells it."""

    name: str
    generation: str  # family and model
    instructions: str

    def __str__(self) -> str:
        """Writes all of it."""
        return ", ".join(part for part in self if part)


def processor_of(cpuinfo: str) -> Processor:
    """Reads the first processor of Linux's ``/proc/cpuinfo``; what the file does not tell is left empty."""
    fields = dict(re.findall(r"^([^\t:\n]+?)[\t ]*:[ \t]*(.*)$", cpuinfo.split("\n\n")[0], re.MULTILINE))
    flags = fields.get("flags", "").split()
    generation = " ".join(
        f"{name} {fields[key]}" for name, key in (("family", "cpu family"), ("model", "model")) if key in fields
    )
    known = (("AVX2", "avx2"), ("AVX-512", "avx512f"))
    instructions = ", ".join(f"{name} {'yes' if flag in flags else 'no'}" for name, flag in known) if flags else ""
    return Processor(fields.get("model name", platform.machine()), generation, instructions)


def processor() -> Processor:
    """Returns this machine's processor."""
    return processor_of(CPUINFO.read_text() if CPUINFO.exists() else "")


def machine_name(one: Processor, cores: int) -> str:
    """Returns a name for a machine that is safe in a file name: ``amd-epyc-25-17-2``."""
    numbers = re.findall(r"\d+", one.generation)
    return re.sub(r"[^a-z0-9]+", "-", " ".join([one.name, *numbers, str(cores)]).lower()).strip("-")


def commit(root: Path) -> str:
    """Returns the commit of a clone and whether its code was changed since; ``unknown`` where there is no clone."""

    def git(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["git", "-C", str(root), *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    head = git("rev-parse", "--short", "HEAD")
    if head.returncode:
        return "unknown"
    return head.stdout.strip() + (" with changes" if git("status", "--porcelain", "--", *CODE).stdout else "")


def now(threads: int, command: str) -> Conditions:
    """Returns the conditions of a run that starts now."""
    return Conditions(
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        commit=commit(ROOT),
        load=round(os.getloadavg()[0], 2),
        processor=str(processor()),
        cores=os.cpu_count(),
        threads=threads,
        torch=torch.__version__,
        python=platform.python_version(),
        command=command,
    )
