"""Checks on a GPU that every path of the model is right, and measures whether the fused one is fastest.

    python benchmarks/gpu_check.py

It prints the machine, then rows PASS|FAIL|SLOW name value bound and SKIP name reason, then a verdict. The exit status
is 0 where all is correct and the fused path trains faster than the readable one and fairseq's own models, else 1.
--device cpu does what needs no GPU. It ends within 295 seconds on a GPU; --only and --quick do less.
"""

import argparse
import faulthandler
import logging
import os
import platform
import subprocess
import sys
import threading
from importlib import metadata
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

sys.path.append(str(Path(__file__).resolve().parent.parent))  # where the package is not installed

import conditions
import gpu_device
import gpu_paths
import gpu_runs
import gpu_speed
import torch
from gpu_report import Report, Setting


class Group(NamedTuple):
    """Names a group of rows, and its share of the time on a GPU, so that a slow one does not end the others."""

    name: str
    seconds: float
    rows: Callable[[Setting, Report], None]


GROUPS: Dict[str, Group] = {
    "a": Group("decoder", 120, gpu_paths.decoder_rows),
    "b": Group("encoder", 15, gpu_paths.encoder_rows),
    "c": Group("training", 35, gpu_runs.training_rows),
    "d": Group("search", 15, gpu_runs.search_rows),
    "e": Group("waiting", 10, gpu_device.waiting_rows),
    "g": Group("streams", 10, gpu_device.stream_rows),
    "h": Group("speed", 75, gpu_speed.speed_rows),
    "f": Group("memory", 35, gpu_device.memory_rows),
}
# Seconds: no row is begun after the first, and so much later the program ends wherever it is.
LIMITS, GRACE = {"cuda": 260.0, "cpu": 3600.0}, 30.0


def parser() -> argparse.ArgumentParser:
    """Makes the parser of the command line."""
    groups = ", ".join(f"{letter} {group.name}" for letter, group in GROUPS.items())
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--device", choices=["cpu", "cuda"], default="cuda", help="where (default: cuda)")
    result.add_argument("--only", default=",".join(GROUPS), help=f"letters, with commas between: {groups}")
    result.add_argument("--quick", action="store_true", help="small sizes and short trainings only")
    result.add_argument("--limit", type=float, help="seconds for all rows (default: 260, on a CPU an hour)")
    return result


def driver() -> str:
    """Returns the version of the driver, as nvidia-smi tells it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=10).stdout.split("\n")[0]
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def version(package: str) -> str:
    """Returns the version of an installed package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """Returns the commit, where there are git and a clone."""
    try:
        return conditions.commit(conditions.ROOT)
    except OSError:
        return "unknown"


def machine(setting: Setting) -> List[str]:
    """Returns what the figures depend on."""
    lines = [f"commit: {commit()}", f"Python: {platform.python_version()}"]
    lines += [f"torch: {torch.__version__}", f"triton: {version('triton')}"]
    if not setting.on_gpu:
        return [f"device: CPU, {conditions.processor()}, threads: {torch.get_num_threads()}", *lines]
    name, count = torch.cuda.get_device_name(), torch.cuda.device_count()
    gpu = [f"device: {name}, {count} in all", f"driver: {driver()}", f"cuDNN: {torch.backends.cudnn.version()}"]
    return [*gpu, *lines, f"host: {conditions.processor()}, cores: {os.cpu_count()}"]


def end_after(report: Report, seconds: float) -> threading.Timer:
    """Makes what ends a program that hangs, with a verdict and with where it was."""

    def end() -> None:
        report.info(f"hangs or is too slow: ended after {report.seconds():.0f} s, stack on standard error")
        report.failed.append("time")
        faulthandler.dump_traceback(file=sys.__stderr__, all_threads=True)
        report.verdict()
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    return timer


def check(report: Report, letters: List[str]) -> None:
    """Prints the machine, and the rows of these groups."""
    report.attempt("machine", lambda: print(*machine(report.setting), sep="\n", flush=True))
    for letter in letters:
        started, group = report.seconds(), GROUPS[letter]
        if report.setting.on_gpu:
            report.share(group.seconds)
        report.attempt(group.name, lambda group=group: group.rows(report.setting, report))
        report.info(f"{letter} {group.name}: {report.seconds() - started:.1f} s")
    report.info(f"all: {report.seconds():.1f} s")


def main(arguments: Optional[List[str]] = None) -> int:
    """Checks what is asked for; returns the exit status."""
    args = parser().parse_args(arguments)
    letters = args.only.split(",")
    unknown = [letter for letter in letters if letter not in GROUPS]
    if unknown:
        parser().error(f"--only: no group is called {', '.join(unknown)}")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser().error("there is no GPU that this PyTorch sees: --device cpu checks what needs none")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    report = Report(Setting(torch.device(args.device), args.quick), args.limit or LIMITS[args.device])
    timer, disabled = end_after(report, report.limit + GRACE), logging.root.manager.disable
    # The timer needs Python's lock; this does not, but cannot give a verdict.
    faulthandler.dump_traceback_later(report.limit + GRACE + 5, exit=True, file=sys.__stderr__)
    logging.disable(logging.INFO)  # fairseq's
    timer.start()
    try:
        check(report, letters)
    finally:
        timer.cancel()
        faulthandler.cancel_dump_traceback_later()
        logging.disable(disabled)
    return report.verdict()


if __name__ == "__main__":
    sys.exit(main())
