# What all scripts here share, whatever they do; each of them sources this file.
# shellcheck shell=bash disable=SC2034,SC2154
set -euo pipefail

recipes=$(CDPATH='' cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
plugin=$recipes/../fairseq_bahdanau
export PYTHONUTF8=1 # whatever the locale: text is UTF-8 here

# die MESSAGE...: stops with one line.
die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# Older ones take an empty array for a variable that is not set.
[[ ${BASH_VERSINFO[0]} -gt 4 || ${BASH_VERSINFO[0]}.${BASH_VERSINFO[1]} = 4.4 ]] || die "needs bash 4.4 or later, not $BASH_VERSION"

# usage: prints the comment at the head of the running script.
usage() {
  awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

# value FLAG REST...: prints the flag's value, or stops when there is none.
value() {
  [ $# -ge 2 ] && [ -n "$2" ] || die "$1 needs a value"
  printf '%s\n' "$2"
}

# done_before MARKER: true when a stage has finished before. mark_done MARKER: says that it has.
done_before() {
  [ -f "$1" ] && echo "done before: $1"
}
mark_done() {
  touch "$1"
}

# write_to FILE COMMAND...: puts what the command prints into FILE, which is afterwards complete or as it was before.
write_to() {
  local file=$1
  shift
  "$@" >"$file.part"
  mv "$file.part" "$file"
}

# lock FOLDER: keeps another script out of FOLDER, and lets it into the folder that this one locked before. The system takes
# the lock away when this script and all that it has started have ended, however they end: what outlives a killed script, as
# a training may, keeps it.
locked=''
lock() {
  local code=0
  [ "$locked" != "$1" ] || return 0
  command -v flock >/dev/null || die "needs the command flock (package util-linux), which keeps two runs out of one folder"
  unlock
  exec {lock_number}>>"$1/lock"
  flock --nonblock "$lock_number" || code=$?
  case $code in
    0) locked=$1 ;;
    1) die "$1 is in use by $(users_of "$1/lock")" ;;
    *) die "$1 cannot be locked, see above: --work DIR names a folder on another disk" ;;
  esac
}
unlock() {
  [ -z "$locked" ] || exec {lock_number}>&-
  locked=''
}

# users_of FILE: the processes that have FILE open, but for this script's own, and what one can do.
users_of() {
  local file pid pids=()
  for file in /proc/[0-9]*/fd/*; do
    pid=${file#/proc/} pid=${pid%%/*}
    if [ "$file" -ef "$1" ] && [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] && [[ " ${pids[*]} " != *" $pid "* ]]; then
      pids+=("$pid")
    fi
  done
  if [ "${#pids[@]}" = 0 ]; then
    echo "a process of another machine or another user: wait until it has ended"
    return
  fi
  mapfile -t pids < <(printf '%s\n' "${pids[@]}" | sort -n)
  local command
  command=$({ tr '\0' ' ' <"/proc/${pids[0]}/cmdline"; } 2>/dev/null | cut -c 1-200) || true # it may just have ended
  echo "process ${pids[0]} (${command% }): wait until it has ended, or end it by: kill ${pids[*]}"
}

# value_of FLAG WORDS...: prints the value that FLAG has the last time among the words; nothing where it has none.
value_of() {
  local flag=$1 found=''
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      "$flag") found=${2:-} ;;
      "$flag"=*) found=${1#*=} ;;
    esac
    shift
  done
  echo "$found"
}

# read_flags FILE: the flags of a run into the array `flags`: words of all lines but comments. A byte order mark and CRLF are
# no flags.
read_flags() {
  local line words
  flags=()
  while IFS= read -r line || [ -n "$line" ]; do
    line=${line#$'\xef\xbb\xbf'} line=${line%$'\r'}
    [[ $line =~ ^[[:space:]]*(#|$) ]] && continue
    read -r -a words <<<"$line"
    flags+=("${words[@]}")
  done <"$1"
}

# detect_device [PRECISION]: what fairseq is told of the device, into the arrays `device`, for translations, and `training_device`.
# PRECISION, of a training on a GPU, is bf16 where the GPU has it, else fp16, unless it is given. Translations, for which fairseq
# has no bf16, are made in fp16, or in fp32 where the training is. setup.sh has looked what there is.
detect_device() {
  local precision=${1:-}
  if [ "$setup_device" = cpu ]; then
    [[ -z $precision || $precision = fp32 ]] || die "--precision $precision is for a GPU, and PyTorch finds none"
    device=(--cpu) training_device=(--cpu)
    return
  fi
  [ "$precision$setup_device" != bf16fp16 ] || die "--precision bf16: this GPU has none: take fp16 or fp32"
  precision=${precision:-$setup_device}
  device=(--fp16) training_device=("--$precision")
  [ "$precision" != fp32 ] || device=() training_device=()
}

# require_disk GB RAW NAME...: says how much room the folder $work needs, and stops when it and what is in it already have less. GB
# is for the published archives; those NAMEs that lie in the folder RAW need twelve times their own size: extracted, cleaned,
# cut and binarized.
require_disk() {
  local needed=$1 folder=$2 free name bytes=0 used
  shift 2
  if [ -d "$folder" ]; then
    for name in "$@"; do
      [ ! -f "$folder/$name" ] || bytes=$((bytes + $(wc -c <"$folder/$name")))
    done
    needed=$((bytes * 12 / 1000000000 + 1))
  fi
  free=$(($(df -Pk "$work" | awk 'NR == 2 { print $4 }') / 1000000))
  used=$(($(du -sk "$work" | cut -f 1) / 1000000))
  echo "needs about $needed GB in $work, where $free GB are free and $used GB are its own"
  [ $((free + used)) -ge "$needed" ] || die "too little room in $work: --work DIR names another folder"
}
