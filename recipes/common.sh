# What the recipes share; a recipe sources this file.
# shellcheck shell=bash disable=SC2034,SC2154
set -euo pipefail

recipes=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
plugin=$recipes/../fairseq_bahdanau

# die MESSAGE...: stops with one line.
die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# usage: prints the comment at the head of the running script, which is its help.
usage() {
  sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
}

# value FLAG REST...: prints the flag's value, or stops when there is none.
value() {
  [ $# -ge 2 ] || die "$1 needs a value"
  printf '%s\n' "$2"
}

# run_stages FIRST LAST NAME...: runs the functions NAME..., the stages from 1 on, whose numbers lie in the range.
# A stage says itself, by done_before, that it has nothing left to do.
run_stages() {
  local first=$1 last=$2 number=0 name
  shift 2
  stages=("$@")
  [[ $first =~ ^[1-9]$ && $last =~ ^[1-9]$ && $first -le $last && $last -le $# ]] ||
    die "--stage and --stop-stage are numbers from 1 to $#, the first not the greater"
  for name in "$@"; do
    number=$((number + 1))
    if [ "$number" -ge "$first" ] && [ "$number" -le "$last" ]; then
      echo "$(date '+%F %T') | stage $number: $name"
      "$name"
    fi
  done
}

# done_before MARKER: true when a stage has finished before. mark_done MARKER: says that it has.
done_before() {
  [ -f "$1" ] && echo "done before: $1"
}
mark_done() {
  touch "$1"
}

# need FILE STAGE: stops when FILE is not there, which the stage makes whose name begins so; says its number.
need() {
  [ ! -e "$1" ] || return 0
  local number
  for number in "${!stages[@]}"; do
    [[ ${stages[number]} != "$2"* ]] || die "$1 is missing: run from --stage $((number + 1))"
  done
}

# read_flags FILE: the flags of a run into the array `flags`: words of all lines but comments.
read_flags() {
  local line words
  flags=()
  while IFS= read -r line || [ -n "$line" ]; do
    [[ $line =~ ^[[:space:]]*(#|$) ]] && continue
    read -r -a words <<<"$line"
    flags+=("${words[@]}")
  done <"$1"
}

# detect_device: mixed precision on a GPU, else the CPU, into the array `device`, for training and generation.
detect_device() {
  if python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    device=(--fp16)
  else
    device=(--cpu)
  fi
}

# require_disk GB RAW NAME...: says how much room the folder $work needs, and stops when it has less. GB is for the published
# archives; those NAMEs that lie in the folder RAW need twelve times their own size: extracted, cleaned, cut and binarized.
require_disk() {
  local needed=$1 folder=$2 free name bytes=0
  shift 2
  if [ -d "$folder" ]; then
    for name in "$@"; do
      [ ! -f "$folder/$name" ] || bytes=$((bytes + $(wc -c <"$folder/$name")))
    done
    needed=$((bytes * 12 / 1000000000 + 1))
  fi
  free=$(($(df -Pk "$work" | awk 'NR == 2 { print $4 }') / 1000000))
  echo "needs about $needed GB in $work, where $free GB are free"
  [ "$free" -ge "$needed" ] || die "too little room in $work: --work DIR names another folder"
}
