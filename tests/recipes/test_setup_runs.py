"""What setup.sh does and what it refuses, in a copy of the checkout, with a Python that only pretends to install."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from support import ROOT

# Writes down what it is asked, and holds at the moment that FAKE_HOLD names until there is a file "go".
FAKE = """#!/bin/bash
echo "$*" >>"$FAKE_HOME/log"
hold() {
  [ "${FAKE_HOLD:-}" != "$1" ] || { touch "$FAKE_HOME/held"; until [ -e "$FAKE_HOME/go" ]; do sleep 0.05; done; }
}
case "$*" in
  *"print("*version_info*) [ "${FAKE_VERSION:-3.11}" != broken ] && echo "${FAKE_VERSION:-3.11}" ;;
  --version) echo "Python ${FAKE_VERSION:-3.11}.7"; echo "and more" ;;
  *"import ensurepip"*) [ -z "${FAKE_NO_ENSUREPIP:-}" ] ;;
  *"import pip, sys"*) [ -z "${FAKE_OLD_PIP:-}" ] ;;
  "-m pip --version") [ "$FAKE_OLD_PIP" != none ] && echo "$FAKE_OLD_PIP" ;;
  "-m venv "*) mkdir -p "$3/bin"; hold venv; cp "$0" "$3/bin/python" ;;
  *"pip index"*) hold index; echo "${FAKE_OFFERS:-torch (2.13.0+cpu)
Available versions: 2.13.0+cpu, 2.13.0}" ;;
  *"pip show"*) [ -n "${FAKE_OTHER_FAIRSEQ:-}" ] ;;
  *"pip install"*/dev/fd/*) hold setuptools ;;
  *"pip install"*requirements.lock*) hold packages; [ -z "${FAKE_NO_NETWORK:-}" ] || { echo "pip's log"; exit 1; } ;;
  *"pip install"*--editable*) hold editable ;;
  *"import sys, torch"*) echo cpu; echo installed ;;
esac
"""


class Clone:
    """A copy of what a set-up reads, with the pretending Python first in PATH."""

    def __init__(self, folder):
        (folder / "clone" / "recipes").mkdir(parents=True)
        for name in ("recipes/setup.sh", "pyproject.toml", "setup.py", *(path.name for path in ROOT.glob("*.lock"))):
            shutil.copy(ROOT / name, folder / "clone" / name)
        (folder / "bin").mkdir()
        (folder / "bin" / "python3").write_text(FAKE)
        (folder / "bin" / "python3").chmod(0o755)
        self.folder, self.env = folder, folder / "clone" / ".venv"
        kept = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHON")}
        self.environment = {**kept, "FAKE_HOME": str(folder), "PATH": f"{folder / 'bin'}:{kept['PATH']}"}

    def start(self, **more):
        script = self.folder / "clone" / "recipes" / "setup.sh"
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(["bash", script], env={**self.environment, **more}, start_new_session=True, **pipe)

    def run(self, **more):
        process = self.start(**more)
        printed, complaint = process.communicate(timeout=120)
        return process.returncode, printed, complaint

    def start_and_hold(self, moment):
        process = self.start(FAKE_HOLD=moment)
        deadline = time.monotonic() + 120
        while not (self.folder / "held").exists():
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.02)
        return process

    def asked(self, words):
        return [line for line in (self.folder / "log").read_text().splitlines() if words in line]

    def stamp(self):
        return (self.env / ".fairseq_bahdanau").read_text()


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


MOMENTS = ["venv", "index", "setuptools", "packages", "editable"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_set_up_that_was_killed_is_done_again_from_nothing(clone, moment):
    process = clone.start_and_hold(moment)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert clone.stamp() == "making\n"
    (clone.env / "half").touch()
    status, printed, complaint = clone.run()
    assert (status, complaint) == (0, "") and printed.endswith("\ninstalled\n")
    assert len(clone.asked("-m venv")) == 2 and not (clone.env / "half").exists()
    assert clone.stamp().startswith(f"{clone.folder / 'clone'} ")


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_goes_on_after_its_set_up_was_terminated_is_waited_for(clone, moment):
    """SIGTERM reaches the script alone: pip goes on without it, and a second one beside it would be too many."""
    process = clone.start_and_hold(moment)
    process.terminate()
    assert process.wait(timeout=60) == -signal.SIGTERM
    second = clone.start()
    assert second.stdout.readline() == f"setup.sh: waits for another set-up of {clone.env}\n"
    (clone.folder / "go").touch()
    printed, complaint = second.communicate(timeout=120)
    assert (second.returncode, complaint) == (0, "") and printed.endswith("\ninstalled\n")
    # The first one's end, and then all of the second's.
    *_, made = [number for number, line in enumerate(clone.asked("-m")) if line.startswith("-m venv")]
    assert made and len([line for line in clone.asked("-m")[made:] if "pip install" in line]) == 3


def test_of_two_set_ups_at_once_the_second_finds_it_done(clone):
    first = clone.start_and_hold("packages")
    second = clone.start()
    assert second.stdout.readline() == f"setup.sh: waits for another set-up of {clone.env}\n"
    (clone.folder / "go").touch()
    assert "installed\n" in first.communicate(timeout=120)[0]
    assert second.communicate(timeout=120) == ("installed\n", "") and second.returncode == 0
    assert len(clone.asked("pip install")) == 3


def test_an_update_that_was_killed_installs_everything_again_and_keeps_the_rest(clone):
    assert clone.run()[0] == 0
    (clone.env / "bin" / "of-the-user").touch()
    with open(clone.folder / "clone" / "requirements.lock", "a") as file:
        file.write("# changed\n")
    (clone.folder / "log").unlink()
    os.killpg(clone.start_and_hold("packages").pid, signal.SIGKILL)
    assert clone.stamp() == "updating\n" and not clone.asked("--force-reinstall")
    assert clone.run()[0] == 0 and (clone.env / "bin" / "of-the-user").exists()
    assert len(clone.asked("--force-reinstall")) == 3 and not clone.asked("-m venv")


@pytest.mark.parametrize(
    "offers, lock", [("2.14.0, 2.13.0+cpu, 2.13.0", "cpu"), ("2.14.0, 2.13.0, 2.12.0+cpu", "cuda")]
)
def test_torch_without_cuda_is_taken_where_it_is_offered(clone, offers, lock):
    status, printed, _ = clone.run(FAKE_OFFERS=f"torch (2.14.0)\nAvailable versions: {offers}\n")
    assert status == 0 and f"torch {'without' if lock == 'cpu' else 'with'} CUDA" in printed
    (asked,) = clone.asked("requirements.lock")
    assert asked.endswith(f"/requirements-{lock}.lock")
    assert all("--require-hashes --only-binary :all:" in line for line in clone.asked("--requirement"))
    assert all("--no-deps --no-build-isolation" in line for line in clone.asked("pip install"))


def finished(clone):
    assert clone.run()[0] == 0


def outdated(clone):
    finished(clone)
    (clone.env / ".fairseq_bahdanau").write_text(f"{clone.folder / 'clone'} 1 2")


def file_in_place(clone):
    clone.env.write_text("")


def folder_of_others(clone):
    """/proc takes no file, not even root's."""
    clone.env.symlink_to("/proc")


def dangling_link(clone):
    (clone.env / "bin").mkdir(parents=True)
    (clone.env / "bin" / "python").symlink_to("/nowhere/python")


def broke_later(clone):
    finished(clone)
    (clone.env / "bin" / "python").unlink()


def moved(clone):
    finished(clone)
    stamp = clone.env / ".fairseq_bahdanau"
    stamp.write_text("/old place/clone " + stamp.read_text().split(" ", 1)[1])


def other_machine(clone):
    (clone.folder / "bin" / "uname").write_text("#!/bin/sh\necho Linux aarch64\n")
    (clone.folder / "bin" / "uname").chmod(0o755)


def nothing(clone):
    pass


def other_python(clone):
    finished(clone)
    (clone.folder / "bin" / "other").write_text("#!/bin/sh\necho 3.12\n")
    (clone.folder / "bin" / "other").chmod(0o755)


REFUSED = {
    "a file stands where .venv belongs": (file_in_place, {}, "cannot make the folder ENV: File exists; another place"),
    "nothing can be written": (
        folder_of_others,
        {},
        "cannot write to the folder ENV: No such file or directory; another",
    ),
    "its Python is a dangling link": (
        dangling_link,
        {},
        "ENV has no Python that runs; remove it and run again: rm -r ENV",
    ),
    "it lost its Python since": (broke_later, {}, "ENV has no Python that runs; remove it and run again: rm -r ENV"),
    "the active one is gone": (
        nothing,
        {"VIRTUAL_ENV": "/nowhere"},
        "environment /nowhere is not there: run 'deactivate'",
    ),
    "it was moved": (moved, {}, "ENV was made in /old place/clone and works there alone; remove it"),
    "its fairseq is another": (outdated, {"FAKE_OTHER_FAIRSEQ": "1"}, "ENV has a fairseq of its own"),
    "PYTHON is another": (
        other_python,
        {"PYTHON": "other"},
        "ENV has Python 3.11, and PYTHON=other names another; remove",
    ),
    "no Python fits": (
        nothing,
        {"PYTHON": "python3", "FAKE_VERSION": "3.13"},
        "3.12, but python3 is Python 3.13.7; name",
    ),
    "PYTHON is no command": (
        nothing,
        {"PYTHON": "none"},
        "needs Python 3.11 or 3.12, but none is no command that runs;",
    ),
    "Debian's Python without venv": (
        nothing,
        {"FAKE_NO_ENSUREPIP": "1"},
        "on Debian and Ubuntu: apt install python3.11-venv",
    ),
    "pip is old": (
        nothing,
        {"FAKE_OLD_PIP": "pip 21.2.4 from here"},
        "but ENV has pip 21.2.4; run: ENV/bin/python -m ensurepip",
    ),
    "there is no pip": (
        nothing,
        {"FAKE_OLD_PIP": "none"},
        "but ENV has none; run: ENV/bin/python -m ensurepip --upgrade",
    ),
    "another machine": (other_machine, {}, "wheels for Linux on x86-64 alone, and this is Linux aarch64"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_set_up_refuses_in_one_line_that_says_what_to_do(clone, case):
    arrange, variables, expected = REFUSED[case]
    arrange(clone)
    stamp = clone.env / ".fairseq_bahdanau"
    before = stamp.read_text() if stamp.exists() else None
    status, printed, complaint = clone.run(**variables)
    assert (status, printed) == (1, "")
    (line,) = complaint.splitlines()
    assert line.startswith("setup.sh: ") and expected.replace("ENV", str(clone.env)) in line
    assert before is None or stamp.read_text() == before


def test_without_a_network_the_log_of_pip_comes_before_the_line(clone):
    status, _, complaint = clone.run(FAKE_NO_NETWORK="1")
    assert status == 1 and complaint == "pip's log\nsetup.sh: the installation failed, see above\n"
    assert clone.run()[0] == 0


def wheel(folder, name, needs=""):
    """Writes the smallest wheel that pip takes; returns its SHA-256."""
    path, info = folder / f"{name}-1-py3-none-any.whl", f"{name}-1.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{needs}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_pip_called_so_takes_no_other_file_and_nothing_that_is_not_locked(clone, tmp_path):
    """The real pip, with the words that setup.sh gave to the pretending one, and a folder as its index."""
    assert clone.run()[0] == 0
    (asked,) = clone.asked("requirements.lock")
    words = asked.split(" --requirement ")[0].split()
    right = wheel(tmp_path, "wanted", "Requires-Dist: unlocked\n")
    wheel(tmp_path, "unlocked")
    target = tmp_path / "target"

    def install(digest):
        (tmp_path / "some.lock").write_text(f"wanted==1 --hash=sha256:{digest}\n")
        where = ["--no-index", "--find-links", tmp_path, "--target", target, "--requirement", tmp_path / "some.lock"]
        environment = {**os.environ, "PIP_CONFIG_FILE": os.devnull}
        command = [sys.executable, *words, *map(str, where)]
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    refused = install(hashlib.sha256(b"another file").hexdigest())
    assert refused.returncode != 0 and "DO NOT MATCH THE HASHES" in refused.stdout and not target.exists()
    taken = install(right)
    assert taken.returncode == 0, taken.stdout
    assert (target / "wanted.py").exists() and not (target / "unlocked.py").exists()
