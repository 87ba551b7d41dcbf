#!/usr/bin/env bash
# The data and the model of Bahdanau, Cho and Bengio 2014, English-French: 348 million words of WMT14, selected and
# tokenised by Schwenk; 30,000 words a side; news-test-2012 and 2013 to validate, 2014 to test.
#
#   bash recipes/rnnsearch_en_fr/run.sh [MODEL] [--stage N] [--stop-stage N] [--seed N] [--raw DIR] [--sums FILE]
#                                       [--work DIR]
#
# MODEL       a flags file: models/MODEL.args here, or a path (default: rnnsearch50)
# --stage, --stop-stage   1 download  2 extract  3 prepare  4 binarize  5 train  6 translate  7 score
# --seed N    of the training; results of seeds other than 1 go to MODEL-seedN (default: 1)
# --raw DIR   take the archives from DIR (default: download them)
# --sums FILE what the archives must be (default: SUMS here)
# --work DIR  where everything goes (default: work here)
# --processes N           train with N processes (and --nodes M --master HOST:PORT, on M machines); see ../README.md
#
# Interrupt it at any time and run it again: finished stages are skipped, downloads go on where they ended, training
# from its last checkpoint.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=recipes/common.sh
source "$here/../common.sh"
# shellcheck source=recipes/stages.sh
source "$here/../stages.sh"

model=rnnsearch50 src=en tgt=fr last=7 sums=$here/SUMS pieces=words
checkpoints=(--keep-last-epochs 1) # the paper averages nothing
# fairseq counts four words of its own; no room for more.
preprocess=(--nwordssrc 30004 --nwordstgt 30004 --padding-factor 1)
search=(--beam 10 --batch-size 32)
accepts="MODEL --raw --sums --processes --nodes --master"
corpora=(ep7_pc45 nc9 dev08_11 crawl ccb2_pc30 un2000_pc34)
parse_options "$@"
[ "$src $tgt" = "en fr" ] || die "--src and --tgt are en and fr, not $src and $tgt"
open_work
text=$work/text extracted=$work/extracted
scoring=(--moses "$tgt" --tokenized-reference "$text/test.$tgt")
reference_set=reference

download() {
  require_disk 20 "$raw" bitexts.tgz dev+test.tgz
  python "$recipes/fetch.py" --sums "$sums" --dest "$work/archives" ${raw:+--source "$raw"} bitexts.tgz dev+test.tgz
}

extract() {
  done_before "$extracted/done" && return
  need "$work/archives/bitexts.tgz" download
  local selected=("${corpora[@]/#/bitexts.selected/}")
  python "$recipes/wmt14.py" extract --archive "$work/archives/bitexts.tgz" --output "$extracted" \
    "${selected[@]/%/.$src.gz}" "${selected[@]/%/.$tgt.gz}"
  python "$recipes/wmt14.py" extract --archive "$work/archives/dev+test.tgz" --output "$extracted" \
    dev/ntst{1213,14}.{"$src","$tgt"}
  mark_done "$extracted/done"
}

prepare() {
  done_before "$text/prepared" && return
  need "$extracted/done" extract
  mkdir -p "$text"
  python "$recipes/wmt14.py" clean --languages "$src" "$tgt" --max-words 50 --max-ratio 50 --output "$text/train" \
    "${corpora[@]/#/$extracted/}"
  local lang
  for lang in "$src" "$tgt"; do
    cp "$extracted/ntst1213.$lang" "$text/valid.$lang"
    cp "$extracted/ntst14.$lang" "$text/test.$lang"
    # The untouched test set is no part of this data; this is for a score of detokenised text.
    python "$recipes/wmt14.py" detokenize --language "$lang" --input "$text/test.$lang" --output "$text/reference.$lang"
  done
  mark_done "$text/prepared"
}

binarize_words() {
  binarize "$text"
}

open_model "$model"
run_stages "$first" "$last" download extract prepare binarize_words train translate score
