"""fairseq_bahdanau.complaints: a program that fails says so in one line."""

import subprocess
import sys

import pytest

from fairseq_bahdanau import complaints

ERRORS = [
    ("ValueError('--x 3: must be less\\n than 2')", "p: --x 3: must be less than 2"),
    ("open('/nowhere/a')", "p: /nowhere/a: No such file or directory"),
    ("OSError(28, 'No space left on device')", "p: No space left on device"),
    ("OSError('odd')", "p: OSError: odd (FAIRSEQ_BAHDANAU_TRACEBACK=1 in the environment shows where)"),
    ("{}['a']", "p: KeyError: 'a' (FAIRSEQ"),
    ("next(iter(()))", "p: StopIteration:  (FAIRSEQ"),
    ("AssertionError('one\\ntwo')", "p: AssertionError: one two (FAIRSEQ"),
    ("RuntimeError('x' * 5000)", "p: RuntimeError: " + "x" * 500 + " (FAIRSEQ"),
]


@pytest.mark.parametrize(("expression", "wanted"), ERRORS)
def test_an_error_is_one_line(capsys, monkeypatch, expression, wanted):
    monkeypatch.delenv(complaints.SHOW, raising=False)
    with pytest.raises(SystemExit) as ended, complaints.complaining("p", code=2):
        raise eval(expression)
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(lines) == 1 and lines[0].startswith(wanted)
    monkeypatch.setenv(complaints.SHOW, "1")
    with pytest.raises(SystemExit), complaints.complaining("p"):
        raise eval(expression)
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and said.endswith(lines[0] + "\n")


PROGRAM = """
import sys
from fairseq_bahdanau.complaints import complaining
with complaining("p"):
    if sys.argv[1] == "interrupt":
        raise KeyboardInterrupt
    for number in range(100000):
        print(number)
"""


@pytest.mark.parametrize(("how", "code"), [("interrupt", 130), ("reader goes away", 141), ("full disk", 1)])
def test_how_a_program_ends(how, code):
    command = [sys.executable, "-c", PROGRAM, how]
    with open("/dev/full" if how == "full disk" else "/dev/null", "w") as output:
        pipe = how == "reader goes away"
        process = subprocess.Popen(command, stdout=subprocess.PIPE if pipe else output, stderr=subprocess.PIPE)
        if pipe:
            process.stdout.readline()
            process.stdout.close()
        said = process.stderr.read().decode()
        process.stderr.close()
    assert process.wait(60) == code
    assert said == ("p: No space left on device\n" if how == "full disk" else "")
