# What is looked at before the first stage, so that nothing is found out after hours; stages.sh sources this file, and says what
# the variables are.
# shellcheck shell=bash disable=SC2154

# check_made_from: stops where what is in $work was made from something else than the options say now: another list of files,
# another direction where that matters, another vocabulary. Without this, finished stages would be taken for those of today.
check_made_from() {
  local record=$work/made-from advice="name another folder by --work DIR, or remove this one" now='' before pieces
  ! takes --sums || [ ! -f "$sums" ] || now="list of files $(cksum <"$sums")"
  [ "$directed" = false ] || now="$now, $src to $tgt"
  before=$(cat "$record" 2>/dev/null) || before=$now
  [ "$now" = "$before" ] || die "$work was made from: $before; not from: $now: $advice"
  [ -z "$now" ] || write_to "$record" echo "$now"
  if [ -f "$pair/segmented" ]; then
    pieces=$(wc -l <"$pair/spm.vocab")
    [ "$pieces" = "$vocab_size" ] || die "$pair has $pieces pieces, not --vocab-size $vocab_size: $advice"
  fi
}

# check_flags: stops at a flag in the flags file that the recipe gives itself: the file's would win without a word.
check_flags() {
  local flag
  for flag in --seed --save-dir --log-file --source-lang --target-lang --user-dir --cpu --fp16 --bf16 --no-save; do
    [[ " ${flags[*]} " != *" $flag "* && " ${flags[*]}" != *" $flag="* ]] ||
      die "$args_file has $flag, which the recipe gives itself: remove it there, see --help"
  done
}

# keep_precision: a training on a GPU goes on, and its model translates, in the precision in which it began.
keep_precision() {
  local file=$run/precision kept
  if [ "${training_device[*]}" = --cpu ] || [ ! -f "$file" ]; then return; fi
  kept=$(cat "$file")
  [ -z "$precision" ] || [ "$precision" = "$kept" ] || die "--precision $precision: $run was trained in $kept"
  detect_device "$kept"
}
