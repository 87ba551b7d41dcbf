#!/usr/bin/env bash
# Installs what the tests need (recipes/setup.sh) and runs them. Arguments go to pytest: bash tests/run.sh -k search
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=recipes/setup.sh
source "$root/recipes/setup.sh"
cd "$root"
exec python -m pytest "$@"
