#!/usr/bin/env bash
# Members of the family side by side on Multi30k: models/small.args, and the same with one option changed.
#
#   bash recipes/multi30k/family.sh [--base FILE] [--work DIR] [options of run.sh]
#
# --base FILE  the flags file that is varied (default: models/small.args)
# --work DIR   where everything goes (default: work here)
#
# One training after the other. Interrupt it at any time and run it again, as run.sh. Ends with a table.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=recipes/common.sh
source "$here/../common.sh"

base=$here/models/small.args work=$here/work others=()
while [ $# -gt 0 ]; do
  case $1 in
    --base) base=$(value "$@"); shift 2 ;;
    --work) work=$(value "$@"); shift 2 ;;
    -h | --help) usage && exit ;;
    *) others+=("$1"); shift ;;
  esac
done
[ -f "$base" ] || die "--base: no such file: $base"

variants=(
  ""
  "--context fixed"
  "--attention hard"
  "--decoder-order update-look-generate"
  "--decoder-order update-look-update-generate"
)
name=$(basename "$base" .args)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

runs=()
for variant in "${variants[@]}"; do
  run=$name${variant:+-${variant##* }}
  { cat "$base" && echo "$variant"; } >"$scratch/$run.args"
  bash "$here/run.sh" "$scratch/$run.args" --work "$work" "${others[@]}"
  runs+=("$run")
done

printf '\n| run | validation perplexity | BLEU |\n|---|---|---|\n'
for run in "${runs[@]}"; do
  folder=$(echo "$work"/*/"$run")
  perplexity=$(grep "valid on 'valid' subset" "$folder/train.log" | tail -n 1 | sed 's/.*| ppl \([^ ]*\) .*/\1/')
  bleu=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["BLEU"]["score"])' "$folder/scores.json")
  printf '| %s | %s | %s |\n' "$run" "$perplexity" "$bleu"
done
