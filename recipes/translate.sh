#!/usr/bin/env bash
# Translates your own text with a model that a recipe has trained: raw text in, raw text out, a line each.
#
#   bash recipes/translate.sh CHECKPOINT [options of fairseq-interactive] < in > out
#
# CHECKPOINT  in the folder where the recipe left it (work/SRC-TGT/MODEL/averaged.pt), or several joined by ':'
#
# Text is tokenised, lower-cased and cut into pieces as it was for the training; but where that was given as tokens (recipe
# own_text, --tokenized), tokens come in and go out, and standard error says so. It streams, a line out for every line in;
# standard error tells of all that was cut, replaced or unknown. Options that have no effect here are refused by name.
set -euo pipefail

here=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=recipes/common.sh
source "$here/common.sh"

[ $# -ge 1 ] || die "needs a CHECKPOINT, see --help"
[ "$1" != -h ] && [ "$1" != --help ] || { usage; exit; }
# shellcheck source=recipes/setup.sh
source "$recipes/setup.sh" >&2
detect_device
exec python "$recipes/translate.py" "$@" --user-dir "$plugin" "${device[@]}"
