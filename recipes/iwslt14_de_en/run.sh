#!/usr/bin/env bash
# IWSLT14 German-English: the field's split, from the archive of the evaluation campaign (de-en.tgz) to two scores.
# 160,239 / 7,283 / 6,750 pairs train, validate and test.
set -euo pipefail

# shellcheck source=recipes/stages.sh
source "$(dirname "${BASH_SOURCE[0]}")/../stages.sh"

languages=("de en" "en de") model=bigru_bahdanau_maxout vocab_size=10000
accepts="MODEL --raw --sums --vocab-size --pairs --processes --nodes --master"
moses=true lowercase=true reference_set=reference
preprocess=() # two dictionaries, as fairseq's own commands have it

download() {
  python "$recipes/fetch.py" --sums "$sums" --dest "$work/archives" ${raw:+--source "$raw"} de-en.tgz
}

prepare() {
  done_before "$text/prepared" && return
  need "$work/archives/de-en.tgz"
  local expect=(--expect 160239 7283 6750)
  [ "$pairs" != any ] || expect=()
  python "$recipes/iwslt14.py" --archive "$work/archives/de-en.tgz" --output "$text" "${expect[@]}"
  mark_done "$text/prepared"
}

stages=(download prepare segment binarize train translate score)
run_recipe "$@"
