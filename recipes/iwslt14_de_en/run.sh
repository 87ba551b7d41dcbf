#!/usr/bin/env bash
# IWSLT14 German-English: the field's split, from the archive of the evaluation campaign to two scores.
#
#   bash recipes/iwslt14_de_en/run.sh [MODEL] [--src de] [--tgt en] [--stage N] [--stop-stage N] [--seed N]
#                                     [--raw DIR] [--sums FILE] [--vocab-size 10000] [--pairs any] [--work DIR]
#
# MODEL       a flags file: models/MODEL.args here, or a path (default: bigru_bahdanau_maxout)
# --src/--tgt language pair (default: de en)
# --stage, --stop-stage   1 download  2 prepare  3 segment  4 binarize  5 train  6 translate  7 score
# --seed N    of the training; results of seeds other than 1 go to MODEL-seedN (default: 1)
# --raw DIR   take de-en.tgz from DIR (default: download it)
# --sums FILE what that file must be (default: SUMS here)
# --vocab-size N          pieces of the joint byte-pair encoding (default: 10000)
# --pairs any             do not insist on 160,239 / 7,283 / 6,750 pairs
# --work DIR  where everything goes (default: work here)
# --processes N           train with N processes (and --nodes M --master HOST:PORT, on M machines); see ../README.md
#
# Interrupt it at any time and run it again: finished stages are skipped, training goes on from its last checkpoint.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=recipes/common.sh
source "$here/../common.sh"
# shellcheck source=recipes/stages.sh
source "$here/../stages.sh"

model=bigru_bahdanau_maxout src=de tgt=en last=7 vocab_size=10000 sums=$here/SUMS
reference_set=reference preprocess=() # two dictionaries, as fairseq's own commands have it
accepts="MODEL --raw --sums --vocab-size --pairs --processes --nodes --master"
parse_options "$@"
[[ "$src $tgt" =~ ^(de\ en|en\ de)$ ]] || die "--src and --tgt are de and en, or en and de, not $src and $tgt"
open_work
text=$work/text
scoring=(--lowercase --moses "$tgt" --tokenized-reference "$text/test.$tgt")

download() {
  python "$recipes/fetch.py" --sums "$sums" --dest "$work/archives" ${raw:+--source "$raw"} de-en.tgz
}

prepare() {
  done_before "$text/prepared" && return
  need "$work/archives/de-en.tgz" download
  local expect=(--expect 160239 7283 6750)
  [ "$pairs" != any ] || expect=()
  python "$recipes/iwslt14.py" --archive "$work/archives/de-en.tgz" --output "$text" "${expect[@]}"
  mark_done "$text/prepared"
}

open_model "$model"
run_stages "$first" "$last" download prepare segment binarize train translate score
