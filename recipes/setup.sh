#!/usr/bin/env bash
# Makes an environment in which everything here runs: installs the lock files and this package (editable) into the active
# virtual environment, or else into .venv beside this folder, which it creates. Does nothing the second time. Prints one
# line: what it found. Scripts source it, which also activates the environment for them and sets setup_device; a person
# runs it with bash, and activates .venv as usual.
set -euo pipefail

setup_root=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
setup_env=${VIRTUAL_ENV:-$setup_root/.venv}
# The stamp names what was installed. "making" or "updating" stands there until all of it is: a set-up that was stopped,
# at whatever moment, is recognized by that, and done again from its beginning.
setup_stamp=$setup_env/.fairseq_bahdanau
setup_wanted="$setup_root $(CDPATH='' cd "$setup_root" && cat requirements{,-cpu,-cuda}.lock pyproject.toml setup.py | cksum)"

setup_fail() {
  echo "setup.sh: $*" >&2
  exit 1
}

setup_state() {
  cat "$setup_stamp" 2>/dev/null || true
}

setup_is_own() {
  [ "$setup_env" = "$setup_root/.venv" ]
}

# setup_version PYTHON: its version, 3.11; nothing if it does not run.
setup_version() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

# setup_find_python CANDIDATE...: prints the first of these commands that the pinned fairseq has a wheel for.
setup_find_python() {
  local candidate found
  for candidate in "$@"; do
    if [[ $(setup_version "$candidate") =~ ^3\.1[12]$ ]]; then
      echo "$candidate"
      return
    fi
  done
  found=$("$1" --version 2>/dev/null | head -n 1 || true)
  setup_fail "needs Python 3.11 or 3.12, but $1 is ${found:-no command that runs};" \
    "name another: PYTHON=/path/to/python3.12 bash recipes/setup.sh"
}

# setup_check_env: an environment that is there runs, is the one that was asked for, and holds nothing that the set-up
# would spoil.
setup_check_env() {
  local python=$setup_env/bin/python version state advice="run 'deactivate' first to get a .venv"
  ! setup_is_own || advice="remove it and run again: rm -r $setup_env"
  version=$(setup_version "$python")
  [ -n "$version" ] || setup_fail "the environment $setup_env has no Python that runs; $advice"
  [[ $version =~ ^3\.1[12]$ ]] || setup_fail "needs Python 3.11 or 3.12, but $setup_env has $version; $advice"
  [ -z "${PYTHON:-}" ] || [ "$(setup_version "$PYTHON")" = "$version" ] ||
    setup_fail "$setup_env has Python $version, and PYTHON=$PYTHON names another; $advice"
  state=$(setup_state)
  # Its commands name the folder that they were made for.
  [[ ! $state =~ / ]] || [[ $state == "$setup_root "* ]] || ! setup_is_own ||
    setup_fail "$setup_env was made in ${state% * *} and works there alone; $advice"
  # From pip 21.3 on, an editable package needs no setup.py develop, which would call pip without our options.
  "$python" -c 'import pip, sys; sys.exit([int(n) for n in pip.__version__.split(".")[:2]] < [21, 3])' 2>/dev/null ||
    setup_fail "needs pip 21.3 or newer, but $setup_env has" \
      "$("$python" -m pip --version 2>/dev/null | cut -d ' ' -f 1-2 | grep . || echo none);" \
      "run: $python -m ensurepip --upgrade"
  if "$python" -m pip show --quiet fairseq 2>/dev/null; then
    setup_fail "$setup_env has a fairseq of its own, which the pinned ve-fairseq would overwrite." \
      "Use that one with --user-dir $setup_root/fairseq_bahdanau, or $advice"
  fi
}

# setup_is_new: whether .venv is to be made, since it is not there, or was not finished.
setup_is_new() {
  setup_is_own && { [ "$(setup_state)" = making ] || [ -z "$(ls "$setup_env" 2>/dev/null)" ]; }
}

# setup_choose_python: sets setup_python, which .venv is made by.
setup_choose_python() {
  if [ -n "${PYTHON:-}" ]; then
    setup_python=$(setup_find_python "$PYTHON")
  else
    setup_python=$(setup_find_python python3 python3.12 python3.11)
  fi
  "$setup_python" -c 'import ensurepip, venv' 2>/dev/null ||
    setup_fail "$setup_python comes without ensurepip or venv; on Debian and Ubuntu:" \
      "apt install python$(setup_version "$setup_python")-venv"
}

# setup_make_env: makes .venv, from nothing.
setup_make_env() {
  local log
  echo making >"$setup_stamp"
  find "$setup_env" -mindepth 1 -maxdepth 1 ! -name '.fairseq_bahdanau*' -exec rm -rf {} +
  if ! log=$("$setup_python" -m venv "$setup_env" 2>&1); then
    echo "$log" >&2
    setup_fail "no environment could be made in $setup_env, see above"
  fi
}

# setup_pip ARGUMENT...: installs just what is named, nothing that this needs besides. What comes as source is built by
# the setuptools of the environment: left to itself, pip would fetch one for that, unseen and unchecked.
setup_pip() {
  "$setup_env/bin/python" -m pip install --disable-pip-version-check --no-user --no-deps --no-build-isolation "${setup_force[@]}" "$@"
}

# setup_pip_locked ARGUMENT...: installs lock files. Only antlr4-python3-runtime is published as source alone.
setup_pip_locked() {
  setup_pip --require-hashes --only-binary :all: --no-binary antlr4-python3-runtime "$@"
}

# setup_choose_torch: sets setup_torch, the lock file with the build of torch: the one without CUDA where pip is told of a
# place that has it, as by PIP_EXTRA_INDEX_URL; PyPI does not.
setup_choose_torch() {
  local offered cpu
  if ! offered=$("$setup_env/bin/python" -m pip index versions torch --disable-pip-version-check 2>&1); then
    echo "$offered" >&2
    setup_fail "pip finds no torch, see above"
  fi
  cpu=$(sed -n 's/^torch==\([^ ]*\).*/\1/p' "$setup_root/requirements-cpu.lock")
  if [[ " ${offered//$'\n'/, }," == *" $cpu,"* ]]; then
    setup_torch=requirements-cpu.lock
    echo "setup.sh: installs into $setup_env: torch without CUDA, and the rest (a minute or more)"
  else
    setup_torch=requirements-cuda.lock
    echo "setup.sh: installs into $setup_env: torch with CUDA, and the rest (some minutes, 3 GB)"
  fi
}

# setup_install: ends at the first command that fails; called by "if", where errexit does not act.
setup_install() {
  setup_pip_locked --requirement <(sed -n '/^setuptools==/,/[^\\]$/p' "$setup_root/requirements.lock") &&
    setup_pip_locked --requirement "$setup_root/requirements.lock" --requirement "$setup_root/$setup_torch" &&
    PIP_REQUIRE_HASHES=0 setup_pip --editable "$setup_root"
}

# setup_lock: makes the folder, and waits for a set-up of it that runs at the same time. What is started here holds the
# lock, too: a pip that goes on after this script was killed is waited for.
setup_lock() {
  local reason elsewhere="; another place is taken by activating a virtual environment there"
  setup_is_own || [ -d "$setup_env" ] || setup_fail "the active environment $setup_env is not there: run 'deactivate'"
  reason=$(mkdir -p "$setup_env" 2>&1) || setup_fail "cannot make the folder $setup_env: ${reason##*: }$elsewhere"
  reason=$({ : >>"$setup_stamp.lock"; } 2>&1) || setup_fail "cannot write to the folder $setup_env: ${reason##*: }$elsewhere"
  exec {setup_locked}>>"$setup_stamp.lock"
  if ! flock --nonblock "$setup_locked"; then
    echo "setup.sh: waits for another set-up of $setup_env"
    flock "$setup_locked"
  fi
}

# setup_update: brings the environment to what is wanted.
setup_update() {
  local log
  setup_force=()
  if setup_is_new; then
    setup_make_env
    setup_check_env
  else
    setup_check_env
    # What is half installed may look whole to pip.
    [ "$(setup_state)" != updating ] || setup_force=(--force-reinstall)
  fi
  setup_choose_torch
  [ "$(setup_state)" = making ] || echo updating >"$setup_stamp"
  if ! log=$(setup_install 2>&1); then
    echo "$log" >&2
    setup_fail "the installation failed, see above"
  fi
  echo "$setup_wanted" >"$setup_stamp"
}

if [ "$(setup_state)" != "$setup_wanted" ]; then
  [ "$(uname -sm)" = "Linux x86_64" ] ||
    setup_fail "the pinned fairseq has wheels for Linux on x86-64 alone, and this is $(uname -sm)"
  ! setup_is_new || setup_choose_python
  setup_lock
  [ "$(setup_state)" = "$setup_wanted" ] || setup_update
  exec {setup_locked}>&-
fi
# For what is checked on the way to an update: an environment that broke since, another PYTHON.
[ -z "${PYTHON:-}" ] && [ -n "$(setup_version "$setup_env/bin/python")" ] || setup_check_env

VIRTUAL_ENV=$setup_env
PATH=$setup_env/bin:$PATH
export VIRTUAL_ENV PATH
# setup_device: cpu, or bf16 or fp16, what a GPU trains in.
setup_found=$(python -c '
import sys, torch
gpu = torch.cuda.is_available()
print("cpu" if not gpu else "bf16" if torch.cuda.get_device_capability() >= (8, 0) else "fp16")
device = torch.cuda.get_device_name() if gpu else "CPU"
print(f"setup.sh: Python {sys.version.split()[0]}, torch {torch.__version__}, {device}, {sys.prefix}")')
# shellcheck disable=SC2034  # common.sh reads it
setup_device=${setup_found%%$'\n'*}
echo "${setup_found#*$'\n'}"
