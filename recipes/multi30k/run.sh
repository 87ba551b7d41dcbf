#!/usr/bin/env bash
# Multi30k, text only: from the published files to a score.
#
#   bash recipes/multi30k/run.sh [MODEL] [--src en] [--tgt de] [--stage N] [--stop-stage N]
#                                [--raw DIR] [--sums FILE] [--vocab-size 8000] [--work DIR]
#
# MODEL       a flags file: models/MODEL.args here, or a path (default: bigru)
# --src/--tgt language pair (default: en de)
# --stage, --stop-stage   1 download  2 segment  3 binarize  4 train  5 translate  6 score
# --raw DIR   take the .gz files from DIR (default: $MULTI30K_RAW, else download them)
# --sums FILE SHA-256 of those files (default: SHA256SUMS here); with --raw, a way to run a corpus of one's own
# --vocab-size N          pieces of the joint byte-pair encoding (default: 8000)
# --work DIR  where everything goes (default: work here)
#
# Interrupt it at any time and run it again: finished stages are skipped, training goes on from its last checkpoint.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=recipes/common.sh
source "$here/../common.sh"

url=https://github.com/multi30k/dataset/raw/master/data/task1/raw
test_set=test_2016_flickr
model=bigru src=en tgt=de first=1 last=6
raw=${MULTI30K_RAW:-$url} sums=$here/SHA256SUMS vocab_size=8000 work=$here/work
while [ $# -gt 0 ]; do
  case $1 in
    --src) src=$(value "$@"); shift 2 ;;
    --tgt) tgt=$(value "$@"); shift 2 ;;
    --stage) first=$(value "$@"); shift 2 ;;
    --stop-stage) last=$(value "$@"); shift 2 ;;
    --raw) raw=$(value "$@"); shift 2 ;;
    --sums) sums=$(value "$@"); shift 2 ;;
    --vocab-size) vocab_size=$(value "$@"); shift 2 ;;
    --work) work=$(value "$@"); shift 2 ;;
    -h | --help) usage && exit ;;
    -*) die "unknown option $1, see --help" ;;
    *) model=$1; shift ;;
  esac
done
args_file=$model
[ -f "$args_file" ] || args_file=$here/models/$model.args
[ -f "$args_file" ] || die "no model '$model': $here/models has $(cd "$here/models" && echo *.args)"
[ "$src" != "$tgt" ] || die "--src and --tgt are both $src"

# shellcheck source=recipes/setup.sh
source "$recipes/setup.sh"
mkdir -p "$work"
work=$(cd "$work" && pwd)
pair=$work/$src-$tgt
run=$pair/$(basename "$args_file" .args)
mkdir -p "$run"
read_flags "$args_file"

download() {
  python "$recipes/fetch.py" --sums "$sums" --source "$raw" --dest "$work/raw" \
    {train,val,$test_set}.{"$src","$tgt"}.gz
  local file
  for file in "$work"/raw/*.gz; do
    gzip --decompress --stdout "$file" >"${file%.gz}.part"
    mv "${file%.gz}.part" "${file%.gz}"
  done
}

segment() {
  done_before "$pair/segmented" && return
  need "$work/raw/train.$src" 1
  python "$recipes/segment.py" train --input "$work/raw/train.$src" "$work/raw/train.$tgt" \
    --prefix "$pair/spm" --vocab-size "$vocab_size"
  local split lang
  for split in train val "$test_set"; do
    for lang in "$src" "$tgt"; do
      python "$recipes/segment.py" encode --model "$pair/spm.model" "$work/raw/$split.$lang" "$pair/$split.$lang"
    done
  done
  mark_done "$pair/segmented"
}

binarize() {
  done_before "$pair/binarized" && return
  need "$pair/segmented" 2
  rm -rf "${pair:?}/bin"
  fairseq-preprocess --source-lang "$src" --target-lang "$tgt" --joined-dictionary \
    --trainpref "$pair/train" --validpref "$pair/val" --testpref "$pair/$test_set" --destdir "$pair/bin"
  mark_done "$pair/binarized"
}

train() {
  need "$pair/binarized" 3
  # A finished or half-finished training of other flags is neither this model's nor to be thrown away unasked.
  if [ -f "$run/flags.args" ] && ! cmp -s "$args_file" "$run/flags.args"; then
    die "$args_file is not what $run was trained with: remove that folder, or give the file another name"
  fi
  cp "$args_file" "$run/flags.args"
  done_before "$run/trained" && return
  local progress=(--log-format simple --log-interval 100)
  [ ! -t 1 ] || progress=(--log-format tqdm)
  fairseq-train "$pair/bin" --user-dir "$plugin" --source-lang "$src" --target-lang "$tgt" "${device[@]}" \
    --required-batch-size-multiple 1 --update-epoch-batch-itr True --seed 1 --keep-last-epochs 5 \
    --save-dir "$run/checkpoints" --log-file "$run/train.log" "${progress[@]}" "${flags[@]}"
  mark_done "$run/trained"
}

translate() {
  need "$run/trained" 4
  done_before "$run/translated" && return
  local newest=("$run"/checkpoints/checkpoint[0-9]*.pt)
  python -m fairseq_bahdanau.cli.average --inputs "$run/checkpoints" --output "$run/averaged.pt" \
    --num-epoch-checkpoints "${#newest[@]}"
  fairseq-generate "$pair/bin" --user-dir "$plugin" --source-lang "$src" --target-lang "$tgt" "${device[@]}" \
    --path "$run/averaged.pt" --gen-subset test --required-batch-size-multiple 1 --batch-size 64 --beam 5 \
    --bpe sentencepiece --sentencepiece-model "$pair/spm.model" --results-path "$run" >"$run/generate.log" 2>&1 ||
    die "fairseq-generate failed, see $run/generate.log"
  mark_done "$run/translated"
}

score() {
  need "$run/translated" 5
  python "$recipes/score.py" --generated "$run/generate-test.txt" --reference "$work/raw/$test_set.$tgt" \
    --hypotheses "$run/hypotheses.$tgt" --scores "$run/scores.json"
  echo "hypotheses and scores: $run/hypotheses.$tgt $run/scores.json"
}

detect_device
run_stages "$first" "$last" download segment binarize train translate score
