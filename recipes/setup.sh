#!/usr/bin/env bash
# Makes an environment in which everything here runs: installs requirements.txt and this package (editable) into the
# active virtual environment, or else into .venv beside this folder, which it creates. Does nothing the second time.
# Prints one line: what it found. Scripts source it, which also activates the environment for them; a person runs it
# with bash, and activates .venv as usual.
set -euo pipefail

setup_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

setup_fail() {
  echo "setup.sh: $*" >&2
  exit 1
}

# setup_find_python CANDIDATE...: prints the first of these commands that the pinned fairseq has a wheel for.
setup_find_python() {
  local candidate
  for candidate in "$@"; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  setup_fail "needs Python 3.11 or 3.12, but $1 is $("$1" --version 2>&1 || true);" \
    "name another: PYTHON=/path/to/python3.12 bash recipes/setup.sh"
}

setup_env=${VIRTUAL_ENV:-$setup_root/.venv}

# The stamp names what was installed, and is written last: an interrupted or outdated installation is done again.
setup_wanted="$setup_root $(cd "$setup_root" && cat requirements.txt pyproject.toml setup.py | cksum)"
setup_stamp=$setup_env/.fairseq_bahdanau
if [ "$(cat "$setup_stamp" 2>/dev/null || true)" != "$setup_wanted" ]; then
  if [ "$setup_env" = "$setup_root/.venv" ]; then
    if [ -n "${PYTHON:-}" ]; then
      setup_python=$(setup_find_python "$PYTHON")
    else
      setup_python=$(setup_find_python python3 python3.12 python3.11)
    fi
    echo "setup.sh: installing into $setup_env (a minute or more)"
    "$setup_python" -m venv "$setup_env"
  elif "$setup_env/bin/python" -m pip show --quiet fairseq 2>/dev/null; then
    setup_fail "$setup_env has a fairseq of its own, which the pinned ve-fairseq would overwrite." \
      "Use that one with --user-dir $setup_root/fairseq_bahdanau, or run 'deactivate' first to get a .venv"
  else
    setup_find_python "$setup_env/bin/python" >/dev/null
    echo "setup.sh: installing into the active environment $setup_env (a minute or more)"
  fi
  if ! setup_log=$("$setup_env/bin/python" -m pip install --disable-pip-version-check \
    --requirement "$setup_root/requirements.txt" --editable "$setup_root" 2>&1); then
    echo "$setup_log" >&2
    setup_fail "the installation failed, see above"
  fi
  echo "$setup_wanted" >"$setup_stamp"
fi

VIRTUAL_ENV=$setup_env
PATH=$setup_env/bin:$PATH
export VIRTUAL_ENV PATH
python -c '
import sys, torch
device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
print(f"setup.sh: Python {sys.version.split()[0]}, torch {torch.__version__}, {device}, {sys.prefix}")'
