#!/usr/bin/env bash
# Installs what the tests need (recipes/setup.sh) and runs them. Arguments go to pytest; without any, everything runs
# that is not marked slow:   bash tests/run.sh   |   bash tests/run.sh -k search   |   bash tests/run.sh -m slow
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=recipes/setup.sh
source "$root/recipes/setup.sh"
cd "$root"
[ $# -gt 0 ] || set -- -m "not slow"
exec python -m pytest "$@"
