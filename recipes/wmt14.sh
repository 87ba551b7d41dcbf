# What the recipes of WMT14 share; their run.sh source this file. A recipe sets
#
#   languages  array: both pairs of languages, the default first
#   training   array: "ARCHIVE CORPUS", CORPUS being members CORPUS.LANG of the archive (or CORPUS.LANG.gz, with .gz written)
#   tests      array: "SPLIT ARCHIVE MEMBER-%s.%s.sgm SEGMENTS", %s being src or ref and the language
#   disk_gb    what everything takes, about
#
# and calls run_recipe "$@".
#
# shellcheck shell=bash disable=SC2034,SC2154

# shellcheck source=recipes/stages.sh
source "$(dirname "${BASH_SOURCE[0]}")/stages.sh"

model=bigru_bahdanau_maxout vocab_size=32000
accepts="MODEL --raw --sums --vocab-size --pairs --processes --nodes --master"
sample=(--sample 5000000) clean=(--max-pieces 250 --max-ratio 1.5)
checkpoints=(--save-interval-updates 2000 --keep-interval-updates 10 --no-epoch-checkpoints)
search=(--beam 4 --lenpen 0.6)
stages=(download extract prepare segment binarize train translate score)
directed=true # a test set was written in one of its languages

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
  local row archive corpus member split ending
  for row in "${training[@]}"; do
    read -r archive corpus <<<"$row"
    need "$work/archives/$archive"
    ending=${corpus##*.} corpus=${corpus%.gz}
    [ "$ending" = gz ] || ending=
    python "$recipes/wmt14.py" extract --archive "$work/archives/$archive" --output "$work/extracted" \
      "$corpus.$src${ending:+.gz}" "$corpus.$tgt${ending:+.gz}"
  done
  for row in "${tests[@]}"; do
    read -r split archive member _ <<<"$row"
    need "$work/archives/$archive"
    # shellcheck disable=SC2059
    python "$recipes/wmt14.py" extract --archive "$work/archives/$archive" --output "$work/extracted" \
      "$(printf "$member" src "$src")" "$(printf "$member" ref "$tgt")"
  done
  mark_done "$work/extracted/done"
}

# prepare: one cleaned training text, and the test sets as sacrebleu has them.
prepare() {
  done_before "$text/prepared" && return
  need "$work/extracted/done"
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
