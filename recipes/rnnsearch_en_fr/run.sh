#!/usr/bin/env bash
# The data and the model of Bahdanau, Cho and Bengio 2014, English-French: 348 million words of WMT14, selected and
# tokenised by Schwenk; 30,000 words a side; news-test-2012 and 2013 to validate, 2014 to test.
set -euo pipefail

# shellcheck source=recipes/stages.sh
source "$(dirname "${BASH_SOURCE[0]}")/../stages.sh"

languages=("en fr") model=rnnsearch50
accepts="MODEL --raw --sums --processes --nodes --master"
moses=true reference_set=reference
# fairseq counts four words of its own; no room for more, though a GPU would multiply 30,008 words faster in half precision.
preprocess=(--nwordssrc 30004 --nwordstgt 30004 --padding-factor 1)
checkpoints=(--keep-last-epochs 1) # the paper averages nothing
search=(--beam 10) at_once=32
corpora=(ep7_pc45 nc9 dev08_11 crawl ccb2_pc30 un2000_pc34)

download() {
  require_disk 20 "$raw" bitexts.tgz dev+test.tgz
  python "$recipes/fetch.py" --sums "$sums" --dest "$work/archives" ${raw:+--source "$raw"} bitexts.tgz dev+test.tgz
}

extract() {
  done_before "$work/extracted/done" && return
  need "$work/archives/bitexts.tgz"
  local selected=("${corpora[@]/#/bitexts.selected/}")
  python "$recipes/wmt14.py" extract --archive "$work/archives/bitexts.tgz" --output "$work/extracted" \
    "${selected[@]/%/.$src.gz}" "${selected[@]/%/.$tgt.gz}"
  python "$recipes/wmt14.py" extract --archive "$work/archives/dev+test.tgz" --output "$work/extracted" \
    dev/ntst{1213,14}.{"$src","$tgt"}
  mark_done "$work/extracted/done"
}

prepare() {
  done_before "$text/prepared" && return
  need "$work/extracted/done"
  mkdir -p "$text"
  python "$recipes/wmt14.py" clean --languages "$src" "$tgt" --max-words 50 --max-ratio 50 --output "$text/train" \
    "${corpora[@]/#/$work/extracted/}"
  python "$recipes/wmt14.py" copy --languages "$src" "$tgt" --input "$work/extracted/ntst1213" --output "$text/valid"
  python "$recipes/wmt14.py" copy --languages "$src" "$tgt" --input "$work/extracted/ntst14" --output "$text/test"
  local lang
  for lang in "$src" "$tgt"; do
    # The untouched test set is no part of this data; this is for a score of detokenised text.
    python "$recipes/wmt14.py" detokenize --language "$lang" --input "$text/test.$lang" --output "$text/reference.$lang"
  done
  mark_done "$text/prepared"
}

stages=(download extract prepare binarize train translate score)
run_recipe "$@"
