"""Commands of fairseq start here in a process that has imported already what fairseq is built on.

That takes four seconds of a command that often needs one. The process is forked from multiprocessing's server, which
has imported the packages below and done nothing else. fairseq itself is not among them: to import it sets up logging,
before or after the command does. What a shell starts (the recipes), and what a test gives variables of its own, begins
from nothing.
"""

import atexit
import multiprocessing
import os
import runpy
import sys
import tempfile
from multiprocessing import forkserver
from pathlib import Path
from typing import Dict, List, Tuple
from unittest import mock

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["torch", "torch.export", "torch.testing", "sklearn.metrics", "hydra.experimental", "sacrebleu", "tensorboardX"]
)


def run(program: str, args: List[str], environment: Dict[str, str], stdin: bytes) -> Tuple[int, bytes]:
    """Runs a script of Python as a program; returns its exit status and what it printed."""
    with mock.patch.dict(os.environ, environment):
        forkserver.ensure_running()
    with tempfile.TemporaryDirectory() as folder:
        read, printed = Path(folder) / "stdin", Path(folder) / "printed"
        read.write_bytes(stdin)
        process = CONTEXT.Process(target=become, args=(program, args, environment, os.getcwd(), read, printed))
        process.start()
        process.join()
        return process.exitcode, printed.read_bytes()


def become(program: str, args: List[str], environment: Dict[str, str], folder: str, read: Path, printed: Path) -> None:
    """Is the program from here on."""
    multiprocessing.set_start_method(None, force=True)  # the default of a program, in place of this process' own
    for stream, path, flags in ((0, read, os.O_RDONLY), (1, printed, os.O_WRONLY | os.O_CREAT)):
        opened = os.open(path, flags)
        os.dup2(opened, stream)
        os.close(opened)
    os.dup2(1, 2)
    sys.stdin = open(0, closefd=False)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [program, *args]
    try:
        runpy.run_path(program, run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves without them
