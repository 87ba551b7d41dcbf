#!/usr/bin/env bash
# Trains members of the family on Multi30k, one after the other, and puts them side by side.
#
#   bash recipes/multi30k/family.sh [MODEL...] [options of run.sh]
#
# MODEL  flags files: models/MODEL.args here, or paths (default: small, and the small-*, each of which differs in one option);
#        the first is what the others are tested against
#
# Interrupt it at any time and run it again, as run.sh. Ends with the table of recipes/compare.sh.
set -euo pipefail

here=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=recipes/common.sh
source "$here/../common.sh"

models=() options=() compared=()
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage; exit ;;
    --gen-subset | --stage | --stop-stage) die "$1 is for run.sh: the table here is of the scores of the test set" ;;
    --src | --tgt | --work) compared+=("$1" "$(value "$@")") ;;&
    -*) options+=("$1" "$(value "$@")"); shift 2 ;;
    *) models+=("$1"); shift ;;
  esac
done
[ "${#models[@]}" -ge 1 ] ||
  models=(small small-look-update-generate small-update-look-generate small-hard small-fixed)

names=()
for model in "${models[@]}"; do
  bash "$here/run.sh" "$model" "${options[@]}"
  names+=("$(basename "$model" .args)")
done
bash "$recipes/compare.sh" "$(basename "$here")" "${names[@]}" "${compared[@]}"
