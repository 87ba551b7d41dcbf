#!/usr/bin/env bash
# Parallel text of your own: two files a text, PREFIX.SRC and PREFIX.TGT, which belong together line by line, to a score.
# A work folder serves one text, in both directions.
set -euo pipefail

# shellcheck source=recipes/stages.sh
source "$(dirname "${BASH_SOURCE[0]}")/../stages.sh"

languages=(any) model=small vocab_size=4000
accepts="MODEL --train --valid --test --gen-subset --tokenized --lowercase --vocab-size --processes --nodes --master"
required="--src --tgt --train --valid --test"
reference_set=reference valid_reference_set=valid-reference
clean=(--max-pieces 250 --max-ratio 9) # the ratio of Moses' clean-corpus-n.perl; more pieces are rarely one sentence
short=(--refuse-longer 900)            # with which fairseq would end after the first epoch: models have 1,024 positions

# own_text COMMAND: own_text.py, on the text that was given.
own_text() {
  local kind=()
  [ "$tokenized" = false ] || kind+=(--tokenized)
  [ "$lowercase" = false ] || kind+=(--lowercase)
  python "$recipes/own_text.py" "$1" --languages "$src" "$tgt" "--train=$train_text" "--valid=$valid_text" \
    "--test=$test_text" --output "$text" --record "$work/given.json" "${kind[@]}"
}

# choose_scores: how the translations are scored (score.py).
choose_scores() {
  local known
  scoring=(--language "$tgt")
  [ "$tokenized" = true ] || return 0
  known=$(python -c 'from fairseq_bahdanau.portable.moses import LANGUAGES; print(*LANGUAGES)')
  if [[ " $known " == *" $tgt "* ]]; then
    scoring=(--moses "$tgt" --tokenized-reference "$text/$gen_subset.$tgt")
  else
    scoring=(--tokens)
  fi
}

prepare() {
  if [ -f "$work/given.json" ] && done_before "$text/prepared"; then return; fi
  own_text prepare
  mark_done "$text/prepared"
}

stages=(prepare segment binarize train translate score)
parse_options "$@"
open_work
own_text check
check_made_from
choose_scores
open_model "$model"
run_stages
