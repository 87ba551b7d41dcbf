# What the recipes of WMT14 share, sourced after stages.sh. A recipe sets
#
#   training   array: "ARCHIVE CORPUS", CORPUS being members CORPUS.LANG of the archive (or CORPUS.LANG.gz, with .gz written)
#   tests      array: "SPLIT ARCHIVE MEMBER-%s.%s.sgm SEGMENTS", %s being src or ref and the language
#   disk_gb    what everything takes, about
#   src, tgt   the pair, either way round
#
# and calls run_recipe "$@".
#
# shellcheck shell=bash disable=SC2034,SC2154

model=bigru_bahdanau_maxout last=8 vocab_size=32000 sums=$here/SUMS
sample=(--sample 5000000) clean=(--max-pieces 250 --max-ratio 1.5)
checkpoints=(--save-interval-updates 2000 --keep-interval-updates 10 --no-epoch-checkpoints) averaged=update
search=(--beam 4 --lenpen 0.6 --batch-size 64)
accepts="MODEL --raw --sums --vocab-size --pairs --processes --nodes --master"

# archives: the names of all of them, each once.
archives() {
  local row
  for row in "${training[@]}"; do echo "${row%% *}"; done
  for row in "${tests[@]}"; do cut -d ' ' -f 2 <<<"$row"; done
}

download() {
  local names
  mapfile -t names < <(archives | sort -u)
  require_disk "$disk_gb" "$raw" "${names[@]}"
  python "$recipes/fetch.py" --sums "$sums" --dest "$work/archives" ${raw:+--source "$raw"} "${names[@]}"
}

# extract: the files of this pair of languages out of the archives, into $work/extracted.
extract() {
  done_before "$work/extracted/done" && return
  local row archive corpus member split ending lang
  for row in "${training[@]}"; do
    read -r archive corpus <<<"$row"
    need "$work/archives/$archive" download
    ending=${corpus##*.} corpus=${corpus%.gz}
    [ "$ending" = gz ] || ending=
    python "$recipes/wmt14.py" extract --archive "$work/archives/$archive" --output "$work/extracted" \
      "$corpus.$src${ending:+.gz}" "$corpus.$tgt${ending:+.gz}"
  done
  for row in "${tests[@]}"; do
    read -r split archive member _ <<<"$row"
    need "$work/archives/$archive" download
    # shellcheck disable=SC2059
    python "$recipes/wmt14.py" extract --archive "$work/archives/$archive" --output "$work/extracted" \
      "$(printf "$member" src "$src")" "$(printf "$member" ref "$tgt")"
  done
  mark_done "$work/extracted/done"
}

# prepare: one cleaned training text, and the test sets as sacrebleu has them.
prepare() {
  done_before "$text/prepared" && return
  need "$work/extracted/done" extract
  local row archive corpus member split count prefixes=()
  for row in "${training[@]}"; do
    read -r archive corpus <<<"$row"
    prefixes+=("$work/extracted/$(basename "${corpus%.gz}")")
  done
  python "$recipes/wmt14.py" clean --languages "$src" "$tgt" --output "$text/train" "${prefixes[@]}"
  for row in "${tests[@]}"; do
    read -r split archive member count <<<"$row"
    [ "$pairs" != any ] || count=0
    # shellcheck disable=SC2059
    member=$work/extracted/$(basename "$member")
    # shellcheck disable=SC2059
    python "$recipes/wmt14.py" test-set --segments "$count" --sgm "$(printf "$member" src "$src")" --output "$text/$split.$src"
    # shellcheck disable=SC2059
    python "$recipes/wmt14.py" test-set --segments "$count" --sgm "$(printf "$member" ref "$tgt")" --output "$text/$split.$tgt"
  done
  mark_done "$text/prepared"
}

# run_recipe ARGUMENTS...: reads the options and runs the stages.
run_recipe() {
  local languages="$src $tgt"
  parse_options "$@"
  [ "$src $tgt" = "$languages" ] || [ "$tgt $src" = "$languages" ] ||
    die "--src and --tgt are ${languages/ / and }, one way or the other, not $src and $tgt"
  open_work
  text=$work/text
  open_model "$model"
  run_stages "$first" "$last" download extract prepare segment binarize train translate score
}
