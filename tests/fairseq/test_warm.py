"""A command of warm.py does what it does when it begins from nothing: its output, status, input and end."""

import re

import pytest
import warm
from support import PLUGIN, environment, program, run_cold

PROGRAM = """
import atexit, logging, multiprocessing, os, sys
atexit.register(print, "ended")
print(sys.argv[1:], sys.stdin.read(), os.getcwd(), os.environ["NAME"], multiprocessing.get_start_method())
print("complaint", file=sys.stderr)
print(logging.root.handlers, logging.root.level, "fairseq_bahdanau" in sys.modules, __name__)
sys.exit(3)
"""


def test_a_program_finds_what_it_finds_in_a_process_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    status, printed = warm.run(str(tmp_path / "program.py"), ["a", "b c"], environment(NAME="x"), b"in")
    cold = run_cold("python", [str(tmp_path / "program.py"), "a", "b c"], environment(NAME="x"), b"in")
    assert (status, sorted(printed.splitlines())) == (cold[0], sorted(cold[1].splitlines()))
    assert status == 3 and b"ended" in printed and b"complaint" in printed


@pytest.mark.parametrize("flags", [["--beam", "2"], ["--beam", "none"]])
def test_fairseq_interactive_says_the_same(flags, data, checkpoint):
    args = [str(data), "--path", str(checkpoint), "--user-dir", str(PLUGIN), "--cpu", *flags]
    given = (args, environment(), b"a1 a2 a3\na4\n")
    warmly, coldly = warm.run(program("fairseq-interactive"), *given), run_cold("fairseq-interactive", *given)
    times = re.compile(rb"^[-0-9]+ [:0-9]+ |[0-9.]+(?=\s+seconds)|(?<=time: )[0-9.]+", re.MULTILINE)
    assert times.sub(b"", warmly[1]) == times.sub(b"", coldly[1])
    assert warmly[0] == coldly[0] and (warmly[0] == 0) == (flags[1] == "2")
