#!/usr/bin/env bash
# Installs what the tests need (recipes/setup.sh) and runs them. Arguments go to pytest: -k search; or the rooms that a
# change of the model wants, two minutes on two cores: bash tests/run.sh tests/model tests/fused
set -euo pipefail

root=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=recipes/setup.sh
source "$root/recipes/setup.sh"
cd "$root"
# A file is a process: what its tests share is made once. Files are taken in their order, not those of most tests first:
# what takes long is few tests.
exec python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder "$@"
