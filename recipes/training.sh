# The stage that trains, on one process or on many; stages.sh sources this file, and says what the variables are.
# shellcheck shell=bash disable=SC2034,SC2154

# spread_updates: divides --update-freq among all processes, and --max-tokens where that has a remainder, so that a batch is as
# large as the flags file says.
spread_updates() {
  local world=$((processes * nodes)) i freq='' tokens='' sentences='' parts
  [ "$world" -gt 1 ] || return 0
  for ((i = 0; i < ${#flags[@]}; i++)); do
    case ${flags[i]} in
      --update-freq) freq=$((i + 1)) ;;
      --max-tokens) tokens=$((i + 1)) ;;
      --batch-size | --max-sentences) sentences=$((i + 1)) ;;
    esac
  done
  [ -n "$freq" ] ||
    die "$args_file has no --update-freq to divide among $world processes: a batch would be $world times as large"
  [[ ${flags[freq]} =~ ^[1-9][0-9]*$ ]] ||
    die "--update-freq ${flags[freq]} of $args_file cannot be divided among $world processes: it is no one number"
  parts=$((world / flags[freq]))
  [ -z "$tokens" ] || [[ ${flags[tokens]} =~ ^[1-9][0-9]*$ ]] ||
    die "--max-tokens ${flags[tokens]} of $args_file is no number that could be divided among $world processes"
  if [ $((flags[freq] % world)) = 0 ]; then
    flags[freq]=$((flags[freq] / world))
  elif [ $((world % flags[freq])) = 0 ] && [ -n "$tokens" ] && [ -z "$sentences" ] && [ $((flags[tokens] % parts)) = 0 ]; then
    flags[freq]=1 flags[tokens]=$((flags[tokens] / parts))
    echo "--max-tokens ${flags[tokens]} --update-freq 1 on each of $world processes: a batch as large as $args_file says"
  else
    die "--update-freq ${flags[freq]} of $args_file cannot be divided among $world processes, nor can --max-tokens"
  fi
}

# falls_unasked: true when the learning rate is to fall by --lr-scheduler polynomial_decay and the flags do not say in how many
# updates, without which fairseq ends in a traceback.
falls_unasked() {
  [ "$(value_of --lr-scheduler "${flags[@]}")" = polynomial_decay ] && [ -z "$(value_of --total-num-update "${flags[@]}")" ]
}

# check_schedule: stops where nothing says when such a training ends.
check_schedule() {
  falls_unasked && [ -z "$(value_of --max-update "${flags[@]}")" ] || return 0
  [[ $(value_of --max-epoch "${flags[@]}") =~ ^[1-9][0-9]*$ ]] ||
    die "$args_file has polynomial_decay and no end: add --max-epoch, --max-update or --total-num-update"
  [ "$shards" = 1 ] || die "$args_file has polynomial_decay, and its data lies in $shards parts: add --total-num-update"
}

# end_schedule: lets such a learning rate reach 0 with the last update, of --max-update or else of --max-epoch.
end_schedule() {
  local updates epochs
  falls_unasked || return 0
  updates=$(value_of --max-update "${flags[@]}") epochs=$(value_of --max-epoch "${flags[@]}")
  if [ -z "$updates" ]; then
    updates=$(python "$recipes/updates.py" "$data" --user-dir "$plugin" --source-lang "$src" --target-lang "$tgt" \
      --required-batch-size-multiple 1 "${flags[@]}" --total-num-update 1) || die "the updates of an epoch could not be counted, see above"
    updates=$((updates * epochs))
  fi
  flags+=(--total-num-update "$updates")
  echo "the learning rate falls to 0 in $updates updates"
}

# is_trained: true when the last checkpoint has all updates of --max-update, as where the script was killed behind it:
# fairseq-train would train one more. (At --max-epoch it stops by itself.)
is_trained() {
  local file=$run/checkpoints/checkpoint_last.pt wanted updates
  wanted=$(value_of --max-update "${flags[@]}")
  if [ -z "$wanted" ] || [ ! -f "$file" ]; then return 1; fi
  # Of a damaged file, fairseq-train will say that it is.
  updates=$(python -c 'import sys, torch, fairseq_bahdanau.plugin
print(torch.load(sys.argv[1], map_location="cpu")["optimizer_history"][-1]["num_updates"])' "$file" 2>/dev/null) || return 1
  [ "$updates" -ge "$wanted" ]
}

# train: fairseq-train with the model's flags, on one process or as torchrun's processes; goes on from where it was.
train() {
  need "$pair/binarized"
  # A finished or half-finished training of other flags is neither this model's nor to be thrown away unasked.
  if [ -f "$run/flags.args" ] && ! cmp -s "$args_file" "$run/flags.args"; then
    die "$args_file is not what $run was trained with: remove that folder, or give the file another name"
  fi
  local copy
  copy=$(mktemp "$run/flags.args.XXXXXX") # several machines may be here at once
  cat "$args_file" >"$copy"
  chmod 644 "$copy"
  mv "$copy" "$run/flags.args"
  done_before "$run/trained" && return
  if is_trained; then
    echo "trained before: $run/checkpoints"
    mark_done "$run/trained"
    return
  fi
  # A disk that was full may have cut the log's last line, behind which the next one would begin.
  if [ -f "$run/train.log" ] && [ -n "$(tail -c 1 "$run/train.log")" ]; then sed -i '$d' "$run/train.log"; fi
  if [ "${training_device[*]}" != --cpu ]; then
    local trained_in=${training_device[*]#--}
    write_to "$run/precision" echo "${trained_in:-fp32}"
    echo "trains on a GPU, in ${trained_in:-fp32}"
  fi
  end_schedule
  local progress=(--log-format simple --log-interval 100) launch=() address=()
  [ ! -t 1 ] || progress=(--log-format tqdm)
  if [ $((processes * nodes)) -gt 1 ]; then
    spread_updates
    [ "$nodes" -gt 1 ] || address=(--local-addr localhost) # whatever this machine calls itself
    launch=(torchrun --nnodes "$nodes" --nproc_per_node "$processes" --rdzv_backend c10d
      --rdzv_endpoint "${master:-localhost:0}" "${address[@]}" --no-python bash "$recipes/rank.sh")
  fi
  python "$recipes/measure.py" --record "$run/training.jsonl" -- "${launch[@]}" \
    fairseq-train "$data" --user-dir "$plugin" --source-lang "$src" --target-lang "$tgt" "${training_device[@]}" \
    --required-batch-size-multiple 1 --update-epoch-batch-itr True --seed "$seed" "${checkpoints[@]}" \
    --save-dir "$run/checkpoints" --log-file "$run/train.log" "${progress[@]}" "${flags[@]}"
  mark_done "$run/trained"
}
