#!/usr/bin/env bash
# Multi30k, text only: from the published files to a score. MULTI30K_RAW in the environment does as --raw.
set -euo pipefail

# shellcheck source=recipes/stages.sh
source "$(dirname "${BASH_SOURCE[0]}")/../stages.sh"

languages=("en de" any) model=bigru vocab_size=8000
accepts="MODEL --gen-subset --raw --sums --vocab-size --processes --nodes --master"
raw=${MULTI30K_RAW:-https://github.com/multi30k/dataset/raw/master/data/task1/raw} sums=$here/SHA256SUMS
text_folder=raw valid_set=val test_set=test_2016_flickr

download() {
  python "$recipes/fetch.py" --sums "$sums" --source "$raw" --dest "$text" \
    {"$train_set","$valid_set","$test_set"}.{"$src","$tgt"}.gz
  local file
  for file in "$text"/*.gz; do
    write_to "${file%.gz}" gzip --decompress --stdout "$file"
  done
}

stages=(download segment binarize train translate score)
run_recipe "$@"
