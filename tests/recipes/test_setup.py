"""What pyproject.toml promises, and what setup.sh says when it cannot help."""

import os
import re
import subprocess
import sys
from importlib import metadata

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from support import ROOT, run_command

import fairseq_bahdanau

LOCKS = ["requirements.lock", "requirements-cpu.lock", "requirements-cuda.lock"]


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


def read_requirements(name):
    lines = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
    return [line for line in lines if not line.startswith("#")]


def read_lock(*names, **python):
    """Reads lock files: from the packages that a Python would install to their versions. Each has hashes."""
    found = {}
    for line in [line for name in names for line in read_requirements(name)]:
        requirement, *hashes = line.split(" --hash=")
        requirement = Requirement(requirement)
        (pin,) = requirement.specifier
        assert pin.operator == "==" and hashes, line
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", value.strip()) for value in hashes), line
        if requirement.marker is None or requirement.marker.evaluate(python):
            assert found.setdefault(canonicalize_name(requirement.name), pin.version) == pin.version, line
    return found


def is_installed(requirement):
    try:
        return bool(metadata.version(requirement.name))
    except metadata.PackageNotFoundError:
        return False


def test_all_that_the_requirements_need_is_locked_and_runs_here():
    torch_lock = f"requirements-{'cpu' if '+cpu' in torch.__version__ else 'cuda'}.lock"
    locked = read_lock("requirements.lock", torch_lock, "requirements-dev.lock")
    to_do = [Requirement(line) for line in read_requirements("requirements.txt")]
    to_do += [r for r in map(Requirement, read_requirements("requirements-dev.txt")) if is_installed(r)]
    seen = set()
    while to_do:
        requirement = to_do.pop()
        name = canonicalize_name(requirement.name)
        assert metadata.version(name) == locked[name], requirement
        assert requirement.specifier.contains(locked[name]), requirement
        extras = {"", *requirement.extras} - {extra for done, extra in seen if done == name}
        seen |= {(name, extra) for extra in extras}
        needed = [Requirement(line) for line in metadata.requires(name) or []]
        to_do += [r for r in needed for e in extras if r.marker is None or r.marker.evaluate({"extra": e})]
    assert len(seen) > 50


@pytest.mark.parametrize("version", ["3.11", "3.12"])
def test_the_lock_files_agree(version):
    python = {"python_version": version, "python_full_version": f"{version}.5"}
    common, cuda = read_lock("requirements.lock", **python), read_lock("requirements-cuda.lock", **python)
    assert sorted(common) == sorted(read_lock("requirements.lock")) and "torch" not in common
    # A second version of what stands in two lock files would undo the first.
    read_lock("requirements.lock", "requirements-cuda.lock", "requirements-dev.lock", **python)
    (cpu,) = read_lock("requirements-cpu.lock", **python).values()
    assert cpu == f"{Version(cuda['torch']).public}+cpu" and f"torch=={cuda['torch']}" in read_requirements(
        "requirements.txt"
    )


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


TORCH = """
__version__ = "0"
class cuda:
    is_available, get_device_name = lambda: {there}, lambda: "a GPU"
    get_device_capability = lambda: {capability}
"""


@pytest.mark.parametrize(
    ("there", "capability", "kind", "name"),
    [(False, None, "cpu", "CPU"), (True, (7, 5), "fp16", "a GPU"), (True, (9, 0), "bf16", "a GPU")],
)
def test_scripts_are_told_what_the_device_trains_in(there, capability, kind, name, tmp_path):
    (tmp_path / "torch.py").write_text(TORCH.format(there=there, capability=capability))
    program = 'source "$1"; echo "$setup_device"'
    command = ["bash", "-c", program, "bash", str(ROOT / "recipes" / "setup.sh")]
    variables = {**os.environ, "VIRTUAL_ENV": sys.prefix, "PYTHONPATH": str(tmp_path)}
    printed = subprocess.run(command, env=variables, stdout=subprocess.PIPE, text=True, check=True).stdout
    line, device = printed.splitlines()
    assert device == kind and f"torch 0, {name}, " in line


def test_unsupported_python_is_named(tmp_path):
    old = tmp_path / "python3.7"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.7.0"\nexit 1\n')
    old.chmod(0o755)
    copy = tmp_path / "clone" / "recipes"
    copy.mkdir(parents=True)
    for name in ("recipes/setup.sh", *LOCKS, "pyproject.toml", "setup.py"):
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
    python.write_text("#!/bin/sh\necho 3.11\n")
    python.chmod(0o755)
    finished = setup(VIRTUAL_ENV=str(tmp_path))
    assert finished.returncode == 1 and "has a fairseq of its own" in finished.stderr
    assert len(finished.stderr.splitlines()) == 1 and not (tmp_path / ".fairseq_bahdanau").exists()


REGISTERED = """
from fairseq import checkpoint_utils, criterions, models, tasks
assert "bigru_bahdanau_maxout" in models.ARCH_MODEL_REGISTRY and "translation_unk" in tasks.TASK_REGISTRY
assert {"cross_entropy_summed", "blockwise_label_smoothed_cross_entropy"} <= set(criterions.CRITERION_REGISTRY)
assert checkpoint_utils.load_checkpoint_to_cpu.__module__.startswith("fairseq_bahdanau.")
"""


@pytest.mark.parametrize("module", ["plugin", "model", "criterions", "tasks"])
def test_the_plugin_is_one_import(module):
    run_command("python", "-c", f"import fairseq_bahdanau.{module}\n{REGISTERED}")


@pytest.mark.parametrize("module", ["text", "runs", "tables", "cli.score_alignment"])
def test_what_needs_no_fairseq_starts_without_it(module):
    program = f"import sys, fairseq_bahdanau.{module}; assert not {{'torch', 'fairseq'}} & set(sys.modules)"
    run_command("python", "-c", program)


def test_with_fairseq_there_the_package_itself_is_the_plugin():
    """Which is what ``--user-dir`` does."""
    program = "import fairseq.models as m, fairseq_bahdanau; assert 'bigru_bahdanau_maxout' in m.ARCH_MODEL_REGISTRY"
    run_command("python", "-c", program)
