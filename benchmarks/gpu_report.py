"""Rows of ``gpu_check.py`` are printed and counted here; one that crashes fails, and does not end the others.

A row is ``PASS|FAIL|SLOW name value bound`` or ``SKIP name reason``; lines beginning with ``INFO`` only tell.
"""

import math
import time
from typing import Callable, List, NamedTuple

import torch


class Setting(NamedTuple):
    """Holds what is checked, and how much of it."""

    device: torch.device
    quick: bool

    @property
    def on_gpu(self) -> bool:
        """Tells whether the rows that need hardware have it."""
        return self.device.type == "cuda"

    @property
    def updates(self) -> int:
        """Returns how many updates a short training has."""
        return 16 if self.quick else 50

    def wait(self) -> None:
        """Waits until the device has done all that it was given, so that an error shows in its own row."""
        if self.on_gpu:
            torch.cuda.synchronize()


class OutOfTime(Exception):
    """Is raised in place of a row for which no time is left."""


class Report:
    """Prints rows, and keeps what the verdict needs.

    Args:
        setting: what is checked
        limit: seconds after which no further row is begun
    """

    def __init__(self, setting: Setting, limit: float):
        self.setting, self.limit, self.started = setting, limit, time.monotonic()
        self.end = limit
        self.failed: List[str] = []
        self.faster = math.nan  # the figure of the verdict; not measured yet

    def share(self, seconds: float) -> None:
        """Begins a group of rows, the last of which begins no later than so many seconds from now."""
        self.end = min(self.limit, self.seconds() + seconds)

    def seconds(self) -> float:
        """Returns how long this has taken."""
        return time.monotonic() - self.started

    def at_most(self, name: str, value: float, bound: float, told: str = "") -> None:
        """Prints PASS where ``value`` is no greater than ``bound``, else FAIL: also where it is no number."""
        passes = value <= bound
        if not passes:
            self.failed.append(name)
        print("PASS" if passes else "FAIL", name, f"{value:.4g}", f"{bound:.4g}", told, flush=True)

    def fast(self, name: str, passes: bool, value: float, bound: float, told: str = "") -> None:
        """Prints PASS where something is as fast as it should be, else SLOW."""
        print("PASS" if passes else "SLOW", name, f"{value:.4g}", f"{bound:.4g}", told, flush=True)

    def skip(self, name: str, reason: str) -> None:
        """Prints a row that this machine has not the hardware for."""
        print("SKIP", name, reason, flush=True)

    def info(self, text: str) -> None:
        """Prints what is no row."""
        print("INFO", text, flush=True)

    def attempt(self, name: str, work: Callable[[], None]) -> None:
        """Calls ``work``, which prints rows; where it raises, that is a row which fails, with what was raised."""
        try:
            if self.seconds() > self.end:
                raise OutOfTime(f"not begun, {self.end:.0f} s are over")
            work()
            self.setting.wait()
        except Exception as error:  # any: the other rows must not depend on it
            self.failed.append(name)
            lines = str(error).strip().splitlines() or [""]
            print("FAIL", name, f"{type(error).__name__}: {lines[0]}", flush=True)

    def verdict(self) -> int:
        """Prints the verdict; returns the exit status: 0 where all is correct and, if that was measured, faster."""
        correct, measured = not self.failed, not math.isnan(self.faster)
        faster = "not measured" if not measured else f"{'yes' if self.faster > 1 else 'no'} ({self.faster:.2f})"
        if self.failed:
            self.info(f"{len(self.failed)} failed: {', '.join(self.failed)}")
        print(f"VERDICT: correct {'yes' if correct else 'no'}, faster {faster}", flush=True)
        return 0 if correct and (not measured or self.faster > 1) else 1
