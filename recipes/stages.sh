# The stages that recipes on parallel text share, and how a recipe is run; its run.sh sources this file.
# shellcheck shell=bash disable=SC2034,SC2154
set -euo pipefail

here=$(CDPATH='' cd "$(dirname "$0")" && pwd) # the folder of the recipe
# shellcheck source=recipes/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=recipes/options.sh
source "$recipes/options.sh"
# shellcheck source=recipes/checks.sh
source "$recipes/checks.sh"
# shellcheck source=recipes/training.sh
source "$recipes/training.sh"

# A recipe's run.sh sets those of the following whose values are not right for it, and `stages`, the names of the functions
# to run; defines the functions that are not here; and calls run_recipe "$@".
languages=()                          # pairs that it translates, such as ("en de" "de en"), the default first; any: and others
accepts=''                            # options of options.sh that it takes beside those that every recipe takes
required=''                           # those that must be given
text_folder=text                      # in $work, for $train_set.LANGUAGE and so on: the plain text that the stages begin with
train_set=train valid_set=valid test_set=test
reference_set='' valid_reference_set='' # the untouched test and validation sets, where $test_set and $valid_set are not they
moses=false lowercase=false           # whether that text is tokenised by Moses, and lower-cased
tokenized=false                       # whether it was given as tokens, which no script here then makes or undoes
sample=()                             # of segment.py train, for a large corpus: --sample N
clean=()                              # of segment.py encode, for the training text: --max-pieces N --max-ratio X
short=()                              # likewise, for the others: --refuse-longer N
preprocess=(--joined-dictionary)      # of fairseq-preprocess
directed=false                        # whether a work folder serves one direction alone
shards=1                              # folders that the training data is spread over, an epoch each
checkpoints=(--keep-last-epochs 5)    # of fairseq-train: what is kept, all of which is averaged
search=(--beam 5)                     # of fairseq-generate
at_once=64                            # sentences that it translates at once, on a GPU four times as many
limit=(--max-len-a 2 --max-len-b 200) # likewise: of a translation, in tokens; it grows with the source
scoring=()                            # of score.py
# What the stages are given: $src, $tgt, $seed and so on, as the options say (options.sh); from open_work $text, the folder of
# the plain text, and $pair = $work/SRC-TGT, with pieces, dictionaries and binarized data; from open_model $run = $pair/MODEL
# or $pair/MODEL-seedN, with checkpoints, hypotheses and scores, and the model's flags; $out, where translations and scores
# go: $run, or $run/valid.

# run_recipe ARGUMENTS...: reads the options, makes the folders, and runs the stages.
run_recipe() {
  parse_options "$@"
  open_work
  check_made_from
  [ -z "$model" ] || open_model "$model"
  run_stages
}

# run_stages: runs the stages from number $first to number $last. A stage says itself, by done_before, that it has nothing
# left to do.
run_stages() {
  local own=${run:-$pair}
  [[ $first =~ ^[1-9]$ && $last =~ ^[1-9]$ && $first -le $last && $last -le ${#stages[@]} ]] ||
    die "--stage and --stop-stage are numbers from 1 to ${#stages[@]}, the first not the greater"
  for ((stage_number = first; stage_number <= last; stage_number++)); do
    echo "$(date '+%F %T') | stage $stage_number: ${stages[stage_number - 1]}"
    lock_for "${stages[stage_number - 1]}" "$own"
    "${stages[stage_number - 1]}"
  done
}

# lock_for STAGE RUN: one script at a time works in $work on what all models share, and one in the folder RUN from the
# training on. So two models train at once. A training on several machines is in the folder of all of them.
lock_for() {
  local name
  if [[ $1 = train* ]] && [ "$nodes" -gt 1 ]; then
    unlock
    return
  fi
  for name in "${stages[@]}"; do
    [[ $name != train* ]] || break # the stage comes after it, or is it
    [ "$name" != "$1" ] || { lock "$work"; return; }
  done
  lock "$2"
}

# has_stage NAME: true when the recipe has a stage of that name.
has_stage() {
  [[ " ${stages[*]} " == *" $1 "* ]]
}

# need FILE [STAGE]: stops when FILE is not there, which the stage before this one makes, or that whose name begins with
# STAGE; says the stage's number.
need() {
  [ ! -e "$1" ] || return 0
  local number=$((stage_number - 1)) i
  for i in "${!stages[@]}"; do
    [ $# = 1 ] || [[ ${stages[i]} != "$2"* ]] || number=$((i + 1))
  done
  die "$1 is missing: run from --stage $number"
}

# flags_file MODEL: the file with the flags of a model, models/MODEL.args or a path.
flags_file() {
  if [ -f "$1" ]; then
    echo "$1"
  elif [ -f "$here/models/$1.args" ]; then
    echo "$here/models/$1.args"
  else
    die "no model '$1': $here/models has $(CDPATH='' cd "$here/models" && echo *.args)"
  fi
}

# open_work: installs what is missing and makes the folders.
open_work() {
  # shellcheck source=recipes/setup.sh
  source "$recipes/setup.sh"
  mkdir -p "$work"
  work=$(CDPATH='' cd "$work" && pwd)
  [[ $work != *[,:%]* ]] || die "--work $work: a comma, colon or percent sign in it has a meaning to a tool: name another folder"
  text=$work/$text_folder
  pair=$work/$src-$tgt
  data=$pair/bin
  [ "$shards" = 1 ] || data=$(seq -s : -f "$pair/bin%.0f" 0 $((shards - 1)))
  test_data=${data%%:*}
  cores=$(nproc) # those that this process may use
  mkdir -p "$pair"
  detect_device "$precision"
  [ "${device[*]}" = --cpu ] || at_once=$((at_once * 4))
}

# open_model MODEL: the folder and the flags of a run.
open_model() {
  args_file=$(flags_file "$1")
  run=$pair/$(basename "$args_file" .args)
  [ "$seed" = 1 ] || run=$run-seed$seed
  out=$run
  [ "$gen_subset" = test ] || out=$run/$gen_subset
  mkdir -p "$run"
  read_flags "$args_file"
  check_flags
  check_schedule
  (spread_updates >/dev/null) # refuses what cannot be divided, before the stages
  keep_precision
}

# segment: one joint byte-pair encoding of both languages by sentencepiece, from the training text alone.
segment() {
  done_before "$pair/segmented" && return
  need "$text/$train_set.$src"
  python "$recipes/segment.py" train --input "$text/$train_set.$src" "$text/$train_set.$tgt" \
    --prefix "$pair/spm" --vocab-size "$vocab_size" "${sample[@]}"
  local split limits=("${clean[@]}")
  for split in "$train_set" "$valid_set" "$test_set"; do
    python "$recipes/segment.py" encode --model "$pair/spm.model" "${limits[@]}" \
      --input "$text/$split.$src" "$text/$split.$tgt" --output "$pair/$split.$src" "$pair/$split.$tgt"
    limits=("${short[@]}")
  done
  mark_done "$pair/segmented"
}

# binarize: dictionaries and fairseq's binary files from the pieces in $pair, or from the words in $text where nothing cuts
# them into pieces. With $shards, the training text is dealt out to as many folders, bin0 and so on, each with the same
# dictionaries.
binarize() {
  local folder=$text shard lang
  done_before "$pair/binarized" && return
  if has_stage segment; then
    folder=$pair
    need "$pair/segmented"
  fi
  need "$folder/$train_set.$src"
  rm -rf "${pair:?}"/bin "${pair:?}"/bin[0-9]*
  local options=("${preprocess[@]}" --workers "$cores") others=(--validpref "$folder/$valid_set" --testpref "$folder/$test_set")
  if [ "$shards" = 1 ]; then
    fairseq_preprocess "${options[@]}" "${others[@]}" --trainpref "$folder/$train_set" --destdir "$pair/bin"
  else
    fairseq_preprocess "${options[@]}" --dict-only --trainpref "$folder/$train_set" --destdir "$pair/bin"
    options=(--srcdict "$pair/bin/dict.$src.txt" --tgtdict "$pair/bin/dict.$tgt.txt" --workers "$cores")
    for ((shard = 0; shard < shards; shard++)); do
      for lang in "$src" "$tgt"; do
        awk -v shard="$shard" -v shards="$shards" 'NR % shards == shard' "$folder/$train_set.$lang" >"$pair/shard.$lang"
      done
      fairseq_preprocess "${options[@]}" "${others[@]}" --trainpref "$pair/shard" --destdir "$pair/bin$shard"
      others=() # with the first alone: fairseq looks for them nowhere else
    done
    rm "$pair/shard.$src" "$pair/shard.$tgt"
  fi
  write_to "$pair/text.json" describe_text
  mark_done "$pair/binarized"
}

# describe_text: how this recipe treats text, for translate.py.
describe_text() {
  local pieces=words
  ! has_stage segment || pieces=sentencepiece
  printf '{"source": "%s", "target": "%s", "pieces": "%s", "moses": %s, "lowercase": %s, "tokenized": %s}\n' \
    "$src" "$tgt" "$pieces" "$moses" "$lowercase" "$tokenized"
}

# fairseq_preprocess OPTIONS...: for this pair of languages; what it says goes to a file.
fairseq_preprocess() {
  fairseq-preprocess --user-dir "$plugin" --source-lang "$src" --target-lang "$tgt" "$@" >>"$pair/binarize.log" 2>&1 ||
    die "fairseq-preprocess failed, see $pair/binarize.log"
}

# translate: the test set, or the validation set, by the mean of the kept checkpoints.
translate() {
  need "$run/trained"
  done_before "$out/translated" && return
  mkdir -p "$out"
  local averaged=epoch keep=--keep-last-epochs kept=("$run"/checkpoints/checkpoint[0-9]*.pt) count bpe=() chosen
  if [[ " ${checkpoints[*]} " == *" --save-interval-updates "* ]]; then
    averaged=update keep=--keep-interval-updates kept=("$run"/checkpoints/checkpoint_[0-9]*_[0-9]*.pt)
  fi
  # Where the training was killed behind its last checkpoint, one is there that this one should have displaced.
  keep=$(value_of "$keep" "${checkpoints[@]}" "${flags[@]}") count=${#kept[@]}
  [ "${keep:-0}" -le 0 ] || [ "$count" -le "$keep" ] || count=$keep
  chosen=("$run/checkpoints" "--num-$averaged-checkpoints" "$count")
  if [ ! -f "${kept[0]}" ]; then # a training that --max-update has ended in its first epoch
    echo "no checkpoint of an $averaged was kept: the last one translates"
    chosen=("$run/checkpoints/checkpoint_last.pt")
  fi
  ! has_stage segment || bpe=(--bpe sentencepiece --sentencepiece-model "$pair/spm.model")
  python -m fairseq_bahdanau.cli.average --output "$run/averaged.pt" --inputs "${chosen[@]}"
  python "$recipes/measure.py" --record "$out/translating.jsonl" -- \
    fairseq-generate "$test_data" --user-dir "$plugin" --source-lang "$src" --target-lang "$tgt" "${device[@]}" \
    --path "$run/averaged.pt" --gen-subset "$gen_subset" --results-path "$out/generating" \
    --required-batch-size-multiple 1 "${search[@]}" --batch-size "$at_once" "${limit[@]}" "${bpe[@]}" >"$out/generate.log" 2>&1 ||
    die "fairseq-generate failed, see $out/generate.log"
  mv "$out/generating/generate-$gen_subset.txt" "$out/generate-$gen_subset.txt"
  rmdir "$out/generating"
  grep 'it may be cut$' "$out/generate.log" >&2 || true # what reached the limit
  write_to "$out/search.args" echo "${search[*]} --batch-size $at_once ${limit[*]}"
  mark_done "$out/translated"
}

# score: the hypotheses as plain text, and sacrebleu's scores with their signatures.
score() {
  need "$out/translated"
  local plain=$text/$test_set untouched=$text/${reference_set:-$test_set} options=("${scoring[@]}")
  [ "$gen_subset" = test ] || plain=$text/$valid_set untouched=$text/${valid_reference_set:-$valid_set}
  [ "$lowercase" = false ] || options+=(--lowercase)
  [ "$moses" = false ] || options+=(--moses "$tgt" --tokenized-reference "$plain.$tgt")
  python "$recipes/score.py" --generated "$out/generate-$gen_subset.txt" --source "$untouched.$src" \
    --reference "$untouched.$tgt" --hypotheses "$out/hypotheses.$tgt" --scores "$out/scores.json" "${options[@]}"
  echo "hypotheses and scores: $out/hypotheses.$tgt $out/scores.json"
}
