#!/usr/bin/env bash
# What attention does, on generated text whose word alignment is known: trains RNNsearch and its ancestor with a fixed
# context side by side, and shows how each translates, what the attention looked at, and where a fixed context fails.
#
# Nothing is downloaded but Python packages. Another corpus: GENERATE_FLAGS="--train 5000" (or other flags of generate.py)
# in the environment.
set -euo pipefail

# shellcheck source=recipes/stages.sh
source "$(dirname "${BASH_SOURCE[0]}")/../stages.sh"

languages=("en de" "de en") models=(attention fixed_context)
model=attention # whose folder stands for both: it is locked
text_folder=data preprocess=() scoring=(--force)
checkpoints=(--keep-last-epochs 2) # of four: the first ones are far from the last

# with_each FUNCTION: for one model after the other.
with_each() {
  local name
  for name in "${models[@]}"; do
    open_model "$name"
    "$1"
  done
}

generate() {
  local flags=()
  read -r -a flags <<<"${GENERATE_FLAGS:-}"
  if [ -f "$text/flags" ] && [ "$(cat "$text/flags")" != "${flags[*]}" ]; then
    die "$text was generated with other flags than GENERATE_FLAGS='${flags[*]}': remove $work, or give another --work"
  fi
  done_before "$text/generated" && return
  python "$here/generate.py" --output "$text" "${flags[@]}"
  write_to "$text/flags" echo "${flags[*]}"
  mark_done "$text/generated"
}

# Both models at once, on half of the cores each: they are small, and two threads for one model gain little. (Behind an
# `&` bash ignores Ctrl-C; measure.py attends to it again.)
train_both() {
  local name pid pids=() failed=()
  for name in "${models[@]}"; do
    train_quietly "$name" &
    pids+=($!)
  done
  for name in "${models[@]}"; do
    pid=${pids[0]} pids=("${pids[@]:1}")
    wait "$pid" || failed+=("$name")
  done
  [ "${#failed[@]}" = 0 ] || die "training failed: ${failed[*]}, see console.log in $pair/${failed[0]}"
}

# train_quietly MODEL: a line for every epoch on the screen, all else in a file.
train_quietly() {
  open_model "$1"
  export OMP_NUM_THREADS=$(((cores + 1) / ${#models[@]}))
  # No `||` behind this line: it would keep `set -e` from stopping train at a failure.
  train 2>&1 | tee "$run/console.log" | awk -v name="$1" '/done before/ { print; fflush() } / valid on / {
      match($0, /epoch [0-9]+/); epoch = substr($0, RSTART, RLENGTH)
      match($0, /ppl [0-9.]+/); print name ": " epoch ", validation " substr($0, RSTART, RLENGTH); fflush() }'
}

translate_both() {
  with_each translate
}

score_both() {
  with_each score
}

# The reference translation by force, because it is what the links of the corpus belong to; then three translations of the
# model's own, with pictures.
align() {
  open_model attention
  need "$run/translated" translate
  done_before "$run/aligned" && return
  local align=(python -m fairseq_bahdanau.cli.align "$pair/bin" --path "$run/averaged.pt" --source-lang "$src"
    --target-lang "$tgt" "${device[@]}" --batch-size 64 --buffer-size 1000)
  "${align[@]}" --input "$text/$test_set.$src" --target "$text/$test_set.$tgt" --format none \
    --output "$run/reference" >"$run/align.log" 2>&1 || die "aligning failed, see $run/align.log"
  write_to "$run/examples.$src" choose_examples
  "${align[@]}" --input "$run/examples.$src" --beam 5 --output "$run/examples" >>"$run/align.log" 2>&1 ||
    die "aligning failed, see $run/align.log"
  write_to "$run/gold.align" gold_links
  mark_done "$run/aligned"
}

# choose_examples: of all test sentences by length, those after a tenth, a quarter and four tenths.
choose_examples() {
  awk '{ print NF "\t" $0 }' "$text/$test_set.$src" | sort -n -s -k 1,1 | cut -f 2- |
    awk '{ line[NR] = $0 } END { for (part = 0.1; part < 0.5; part += 0.15) print line[int(NR * part) + 1] }'
}

# gold_links: the links of the corpus, which have English first.
gold_links() {
  if [ "$src" = en ]; then
    cat "$text/$test_set.align"
  else
    awk '{ for (f = 1; f <= NF; f++) { split($f, link, "-"); $f = link[2] "-" link[1] } print }' "$text/$test_set.align"
  fi
}

# hypotheses MODEL: the file with its translations of the test set.
hypotheses() {
  open_model "$1"
  need "$run/hypotheses.$tgt" score
  echo "$run/hypotheses.$tgt"
}

curve() {
  local attention fixed
  attention=$(hypotheses attention)
  fixed=$(hypotheses fixed_context)
  open_model attention
  write_to "$run/length_curve.md" python -m fairseq_bahdanau.cli.length_curve --source "$text/$test_set.$src" \
    --reference "$text/$test_set.$tgt" --system "attention=$attention" --system "fixed context=$fixed" --borders 10,20,30,40,50 \
    --plot "$run/length_curve.png"
}

summary() {
  open_model attention
  need "$run/aligned" align
  need "$run/length_curve.md" curve
  echo
  echo "Alignment of the reference translations, against the links that the grammar knows:"
  python -m fairseq_bahdanau.cli.score_alignment --gold "$run/gold.align" \
    --hypothesis "$run/reference/alignment.pharaoh"
  printf '\nBLEU by length of the source, with 95 %% intervals:\n'
  cat "$run/length_curve.md"
  python "$here/summary.py" --runs "$run" "$(dirname "$(hypotheses fixed_context)")" --examples "$run/examples.$src" \
    --aligned "$run/examples"
  printf '\nPictures: %s\n          %s (open it in a browser)\n' "$run/length_curve.png" "$run/examples/index.html"
}

stages=(generate binarize train_both translate_both score_both align curve summary)
run_recipe "$@"
