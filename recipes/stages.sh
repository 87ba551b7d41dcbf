# The stages that recipes on parallel text share, and their options; a recipe sources this file after common.sh.
# shellcheck shell=bash disable=SC2034,SC2154
#
# A recipe sets `here`, its folder, sources this file, sets its own defaults of the variables below, and calls
#
#   parse_options "$@"     the options
#   open_work              $work, and $pair = $work/SRC-TGT: segmentation, dictionaries, binarized data
#   open_model MODEL       $run = $pair/MODEL or $pair/MODEL-seedN: checkpoints, hypotheses, scores; and its flags
#
# before run_stages. The stages read plain text, $text/{$train_set,$valid_set,$test_set}.{$src,$tgt}.

model='' src='' tgt='' first=1 last='' work=$here/work seed=1 processes=1 nodes=1 master=''
raw='' sums='' vocab_size='' text='' train_set=train valid_set=valid test_set=test
text_stage=prepare                    # the stage that makes $text
sample=()                             # of segment.py train, for a large corpus: --sample N
clean=()                              # of segment.py encode, for the training text: --max-pieces N --max-ratio X
preprocess=(--joined-dictionary)      # of fairseq-preprocess
checkpoints=(--keep-last-epochs 5)    # of fairseq-train: what is kept, all of which is averaged
averaged=epoch                        # or update: the kind of checkpoint that is averaged
search=(--beam 5 --batch-size 64)     # of fairseq-generate
pieces=sentencepiece                  # or words: what the text is cut into
scoring=()                            # of score.py
accepts=''                            # what a recipe takes beside --src --tgt --stage --stop-stage --seed --work
pairs=''                              # any: a corpus of another size than the published one will do
shards=1                              # folders that the training data is spread over, an epoch each
reference_set=''                      # the untouched test set, where $test_set is not it

# parse_options ARGUMENTS...: into the variables above. The help is the comment at the recipe's head.
parse_options() {
  local named
  while [ $# -gt 0 ]; do
    named=$1
    [[ $1 == -* ]] || named=MODEL
    [[ " --src --tgt --stage --stop-stage --seed --work -h --help $accepts " == *" $named "* ]] ||
      die "this recipe has no $named, see --help"
    case $1 in
      --src) src=$(value "$@"); shift 2 ;;
      --tgt) tgt=$(value "$@"); shift 2 ;;
      --stage) first=$(value "$@"); shift 2 ;;
      --stop-stage) last=$(value "$@"); shift 2 ;;
      --raw) raw=$(value "$@"); shift 2 ;;
      --sums) sums=$(value "$@"); shift 2 ;;
      --vocab-size) vocab_size=$(value "$@"); shift 2 ;;
      --work) work=$(value "$@"); shift 2 ;;
      --seed) seed=$(value "$@"); shift 2 ;;
      --processes) processes=$(value "$@"); shift 2 ;;
      --nodes) nodes=$(value "$@"); shift 2 ;;
      --master) master=$(value "$@"); shift 2 ;;
      --pairs) pairs=$(value "$@"); shift 2 ;;
      -h | --help) usage; exit ;;
      *) model=$1; shift ;;
    esac
  done
  [ -z "$pairs" ] || [ "$pairs" = any ] || die "--pairs must be any, not '$pairs'"
  [ "$src" != "$tgt" ] || die "--src and --tgt are both $src"
  number --seed "$seed" && number --processes "$processes" && number --nodes "$nodes"
  [ "$nodes" = 1 ] || [ -n "$master" ] || die "--nodes $nodes needs --master HOST:PORT, the same on every machine"
}

# number FLAG VALUE: stops unless the value is a whole number from 1 on.
number() {
  [[ $2 =~ ^[1-9][0-9]*$ ]] || die "$1 must be a number from 1 on, not '$2'"
}

# flags_file MODEL: the file with the flags of a model, models/MODEL.args or a path.
flags_file() {
  if [ -f "$1" ]; then
    echo "$1"
  elif [ -f "$here/models/$1.args" ]; then
    echo "$here/models/$1.args"
  else
    die "no model '$1': $here/models has $(cd "$here/models" && echo *.args)"
  fi
}

# open_work: installs what is missing and makes the folders.
open_work() {
  # shellcheck source=recipes/setup.sh
  source "$recipes/setup.sh"
  mkdir -p "$work"
  work=$(cd "$work" && pwd)
  pair=$work/$src-$tgt
  data=$pair/bin
  [ "$shards" = 1 ] || data=$(seq -s : -f "$pair/bin%.0f" 0 $((shards - 1)))
  test_data=${data%%:*}
  cores=$(getconf _NPROCESSORS_ONLN)
  mkdir -p "$pair"
  detect_device
}

# open_model MODEL: the folder and the flags of a run.
open_model() {
  args_file=$(flags_file "$1")
  run=$pair/$(basename "$args_file" .args)
  [ "$seed" = 1 ] || run=$run-seed$seed
  mkdir -p "$run"
  read_flags "$args_file"
}

# segment: one joint byte-pair encoding of both languages by sentencepiece, from the training text alone.
segment() {
  done_before "$pair/segmented" && return
  need "$text/$train_set.$src" "$text_stage"
  python "$recipes/segment.py" train --input "$text/$train_set.$src" "$text/$train_set.$tgt" \
    --prefix "$pair/spm" --vocab-size "$vocab_size" "${sample[@]}"
  local split limits=("${clean[@]}")
  for split in "$train_set" "$valid_set" "$test_set"; do
    python "$recipes/segment.py" encode --model "$pair/spm.model" "${limits[@]}" \
      --input "$text/$split.$src" "$text/$split.$tgt" --output "$pair/$split.$src" "$pair/$split.$tgt"
    limits=()
  done
  mark_done "$pair/segmented"
}

# binarize [FOLDER]: dictionaries and fairseq's binary files from the pieces in $pair, or from the words in FOLDER. With
# $shards, the training text is dealt out to as many folders, bin0 and so on, each with the same dictionaries.
binarize() {
  local folder=${1:-$pair} shard lang
  done_before "$pair/binarized" && return
  [ "$folder" = "$text" ] || need "$pair/segmented" segment
  need "$folder/$train_set.$src" "$text_stage"
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
  describe_text >"$pair/text.json"
  mark_done "$pair/binarized"
}

# describe_text: how this recipe treats text, for translate.py.
describe_text() {
  local moses=false lowercase=false
  [[ " ${scoring[*]} " != *" --moses "* ]] || moses=true
  [[ " ${scoring[*]} " != *" --lowercase "* ]] || lowercase=true
  printf '{"source": "%s", "target": "%s", "pieces": "%s", "moses": %s, "lowercase": %s}\n' \
    "$src" "$tgt" "$pieces" "$moses" "$lowercase"
}

# fairseq_preprocess OPTIONS...: for this pair of languages; what it says goes to a file.
fairseq_preprocess() {
  fairseq-preprocess --source-lang "$src" --target-lang "$tgt" "$@" >>"$pair/binarize.log" 2>&1 ||
    die "fairseq-preprocess failed, see $pair/binarize.log"
}

# spread_updates: divides --update-freq among all processes, so that a batch stays what the flags file says.
spread_updates() {
  local world=$((processes * nodes)) i
  [ "$world" -gt 1 ] || return 0
  for ((i = 0; i < ${#flags[@]}; i++)); do
    if [ "${flags[i]}" = --update-freq ]; then
      [ $((flags[i + 1] % world)) = 0 ] ||
        die "--update-freq ${flags[i + 1]} of $args_file cannot be divided among $world processes"
      flags[i + 1]=$((flags[i + 1] / world))
      return
    fi
  done
  die "$args_file has no --update-freq to divide among $world processes: a batch would be $world times as large"
}

# train: fairseq-train with the model's flags, on one process or as torchrun's processes; goes on from where it was.
train() {
  need "$pair/binarized" binarize
  # A finished or half-finished training of other flags is neither this model's nor to be thrown away unasked.
  if [ -f "$run/flags.args" ] && ! cmp -s "$args_file" "$run/flags.args"; then
    die "$args_file is not what $run was trained with: remove that folder, or give the file another name"
  fi
  cp "$args_file" "$run/flags.args"
  done_before "$run/trained" && return
  local progress=(--log-format simple --log-interval 100) launch=()
  [ ! -t 1 ] || progress=(--log-format tqdm)
  if [ $((processes * nodes)) -gt 1 ]; then
    spread_updates
    launch=(torchrun --nnodes "$nodes" --nproc_per_node "$processes" --rdzv_backend c10d
      --rdzv_endpoint "${master:-localhost:0}" --no-python bash "$recipes/rank.sh")
  fi
  python "$recipes/measure.py" --record "$run/training.jsonl" -- "${launch[@]}" \
    fairseq-train "$data" --user-dir "$plugin" --source-lang "$src" --target-lang "$tgt" "${device[@]}" \
    --required-batch-size-multiple 1 --update-epoch-batch-itr True --seed "$seed" "${checkpoints[@]}" \
    --save-dir "$run/checkpoints" --log-file "$run/train.log" "${progress[@]}" "${flags[@]}"
  mark_done "$run/trained"
}

# translate: the test set, by the mean of the kept checkpoints.
translate() {
  need "$run/trained" train
  done_before "$run/translated" && return
  local kept=("$run"/checkpoints/checkpoint[0-9]*.pt) bpe=()
  [ "$averaged" = epoch ] || kept=("$run"/checkpoints/checkpoint_[0-9]*_[0-9]*.pt)
  [ "$pieces" = words ] || bpe=(--bpe sentencepiece --sentencepiece-model "$pair/spm.model")
  python -m fairseq_bahdanau.cli.average --inputs "$run/checkpoints" --output "$run/averaged.pt" \
    "--num-$averaged-checkpoints" "${#kept[@]}"
  python "$recipes/measure.py" --record "$run/translating.jsonl" -- \
    fairseq-generate "$test_data" --user-dir "$plugin" --source-lang "$src" --target-lang "$tgt" "${device[@]}" \
    --path "$run/averaged.pt" --gen-subset test --required-batch-size-multiple 1 "${search[@]}" "${bpe[@]}" \
    --results-path "$run" >"$run/generate.log" 2>&1 || die "fairseq-generate failed, see $run/generate.log"
  echo "${search[*]}" >"$run/search.args"
  mark_done "$run/translated"
}

# score: the hypotheses as plain text, and sacrebleu's scores with their signatures.
score() {
  need "$run/translated" translate
  local untouched=$text/${reference_set:-$test_set}
  python "$recipes/score.py" --generated "$run/generate-test.txt" --source "$untouched.$src" \
    --reference "$untouched.$tgt" --hypotheses "$run/hypotheses.$tgt" --scores "$run/scores.json" "${scoring[@]}"
  echo "hypotheses and scores: $run/hypotheses.$tgt $run/scores.json"
}
