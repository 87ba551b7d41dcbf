#!/usr/bin/env bash
# Puts models that a recipe has trained side by side.
#
#   bash recipes/compare.sh SET MODEL MODEL... [--src L --tgt L] [--work DIR] [--output DIR] [options of cli.compare]
#
# SET         a recipe, such as multi30k
# MODEL       a model that its run.sh has scored; all its seeds are found. The first is what the others are tested against
# --src/--tgt language pair, where the work folder has several
# --work DIR  where the recipe worked (default: recipes/SET/work)
# --output DIR            where comparison.md, .json and .png go (default: comparison in the pair's folder)
set -euo pipefail

here=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=recipes/common.sh
source "$here/common.sh"

set='' models=() src='' tgt='' work='' output='' others=()
while [ $# -gt 0 ]; do
  case $1 in
    --src) src=$(value "$@"); shift 2 ;;
    --tgt) tgt=$(value "$@"); shift 2 ;;
    --work) work=$(value "$@"); shift 2 ;;
    --output) output=$(value "$@"); shift 2 ;;
    -h | --help) usage; exit ;;
    -*) others+=("$1" "$(value "$@")"); shift 2 ;;
    *) if [ -z "$set" ]; then set=$1; else models+=("$1"); fi; shift ;;
  esac
done
[ -f "$recipes/$set/run.sh" ] || die "no recipe '$set': there are $(CDPATH='' cd "$recipes" && echo */run.sh | sed 's#/run.sh##g')"
[ "${#models[@]}" -ge 1 ] || die "needs at least one MODEL, see --help"
work=${work:-$recipes/$set/work}

pairs=()
for folder in "$work"/*/; do
  for scores in "$folder${models[0]}"/scores.json "$folder${models[0]}"-seed*/scores.json; do
    [ ! -f "$scores" ] || { pairs+=("$(basename "$folder")"); break; }
  done
done
if [ -n "$src$tgt" ]; then
  { [ -n "$src" ] && [ -n "$tgt" ]; } || die "--src and --tgt go together"
  pairs=("$src-$tgt")
fi
[ "${#pairs[@]}" -ge 1 ] || die "no finished run of ${models[0]} in $work: bash recipes/$set/run.sh ${models[0]}"
[ "${#pairs[@]}" = 1 ] || die "$work has ${pairs[*]}: choose by --src and --tgt"
pair=$work/${pairs[0]}

runs=()
for model in "${models[@]}"; do
  seeds=''
  while IFS= read -r folder; do
    [[ $folder = "$pair/$model" || $folder =~ -seed[1-9][0-9]*$ ]] || continue # a model may be called small-seed2b
    [ ! -f "$folder/scores.json" ] || seeds=$seeds${seeds:+,}$folder
  done < <(printf '%s\n' "$pair/$model" "$pair/$model"-seed[0-9]* | sort -V) # the lowest is tested: 2 before 10
  [ -n "$seeds" ] || die "no finished run of $model in $pair: bash recipes/$set/run.sh $model"
  runs+=(--run "$model=$seeds")
done

# shellcheck source=recipes/setup.sh
source "$recipes/setup.sh"
python -m fairseq_bahdanau.cli.compare "${runs[@]}" --output "${output:-$pair/comparison}" "${others[@]}"
