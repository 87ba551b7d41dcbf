"""What pyproject.toml promises, and what setup.sh says when it cannot help."""

import os
import subprocess
import sys
from importlib import metadata

import torch
from packaging.requirements import Requirement
from support import ROOT, run_command

import fairseq_bahdanau


def test_installed_metadata_is_honest():
    found = metadata.metadata("fairseq-bahdanau")
    assert found["License-Expression"] == "MIT" and found["Requires-Python"] == ">=3.8"
    assert found["Version"] == fairseq_bahdanau.__version__
    assert f"\nversion: {fairseq_bahdanau.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    required = [Requirement(line) for line in metadata.requires("fairseq-bahdanau")]
    for requirement in required:
        if requirement.marker is None or requirement.marker.evaluate({"extra": "recipes"}):
            assert requirement.specifier.contains(metadata.version(requirement.name), prereleases=True), requirement
    # A user's own fairseq must not be installed over.
    assert not [r for r in required if "fairseq" in r.name and (r.marker is None or r.marker.evaluate({"extra": ""}))]


def test_pins_are_what_runs_here():
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            assert requirement.specifier.contains(metadata.version(requirement.name)), line


def test_package_data_is_found():
    assert (ROOT / "fairseq_bahdanau" / "config" / "translation.yaml").is_file()
    assert "config/*.yaml" in (ROOT / "pyproject.toml").read_text()


def setup(**environment):
    environment = {**os.environ, **environment}
    environment = {name: value for name, value in environment.items() if value is not None}
    return subprocess.run(["bash", ROOT / "recipes" / "setup.sh"], env=environment, capture_output=True, text=True)


def test_setup_does_nothing_the_second_time():
    finished = setup(VIRTUAL_ENV=sys.prefix)
    assert finished.returncode == 0, finished.stderr
    (line,) = finished.stdout.splitlines()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    assert line.startswith(f"setup.sh: Python {sys.version.split()[0]}, torch {torch.__version__}, {device}, ")


def test_unsupported_python_is_named(tmp_path):
    old = tmp_path / "python3.7"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.7.0"\nexit 1\n')
    old.chmod(0o755)
    copy = tmp_path / "clone" / "recipes"
    copy.mkdir(parents=True)
    for name in ("recipes/setup.sh", "requirements.txt", "pyproject.toml", "setup.py"):
        (tmp_path / "clone" / name).write_bytes((ROOT / name).read_bytes())
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    finished = subprocess.run(
        ["bash", copy / "setup.sh"], env={**environment, "PYTHON": str(old)}, capture_output=True, text=True
    )
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert "needs Python 3.11 or 3.12, but" in line and "is Python 3.7.0" in line
    assert not (tmp_path / "clone" / ".venv").exists()


def test_a_fairseq_of_the_users_own_is_left_alone(tmp_path):
    """An environment whose pip knows a distribution called fairseq."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    finished = setup(VIRTUAL_ENV=str(tmp_path))
    assert finished.returncode == 1 and "has a fairseq of its own" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1 and not (tmp_path / ".fairseq_bahdanau").exists()


def test_the_plugin_is_one_import():
    run_command("python", "-c", "import fairseq_bahdanau; import fairseq.models as m; "
                "assert 'bigru_bahdanau_maxout' in m.ARCH_MODEL_REGISTRY")  # fmt: skip
