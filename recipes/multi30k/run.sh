#!/usr/bin/env bash
# Multi30k, text only: from the published files to a score.
#
#   bash recipes/multi30k/run.sh [MODEL] [--src en] [--tgt de] [--stage N] [--stop-stage N] [--seed N]
#                                [--raw DIR] [--sums FILE] [--vocab-size 8000] [--work DIR]
#
# MODEL       a flags file: models/MODEL.args here, or a path (default: bigru)
# --src/--tgt language pair (default: en de)
# --stage, --stop-stage   1 download  2 segment  3 binarize  4 train  5 translate  6 score
# --seed N    of the training; results of seeds other than 1 go to MODEL-seedN (default: 1)
# --raw DIR   take the .gz files from DIR (default: $MULTI30K_RAW, else download them)
# --sums FILE SHA-256 of those files (default: SHA256SUMS here); with --raw, a way to run a corpus of one's own
# --vocab-size N          pieces of the joint byte-pair encoding (default: 8000)
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

url=https://github.com/multi30k/dataset/raw/master/data/task1/raw
raw=${MULTI30K_RAW:-$url} sums=$here/SHA256SUMS
model=bigru src=en tgt=de last=6 vocab_size=8000 text_stage=download valid_set=val test_set=test_2016_flickr
accepts="MODEL --raw --sums --vocab-size --processes --nodes --master"
parse_options "$@"
open_work
text=$work/raw

download() {
  python "$recipes/fetch.py" --sums "$sums" --source "$raw" --dest "$text" \
    {"$train_set","$valid_set","$test_set"}.{"$src","$tgt"}.gz
  local file
  for file in "$text"/*.gz; do
    gzip --decompress --stdout "$file" >"${file%.gz}.part"
    mv "${file%.gz}.part" "${file%.gz}"
  done
}

open_model "$model"
run_stages "$first" "$last" download segment binarize train translate score
