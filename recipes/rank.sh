#!/usr/bin/env bash
# One of torchrun's processes: runs fairseq-train as the rank that torchrun's environment says, with NCCL on GPUs and
# gloo on CPUs. (Started by torchrun alone, fairseq on a CPU trains as many independent models, or divides by zero.)
#
#   torchrun --nproc_per_node 2 --no-python bash recipes/rank.sh fairseq-train ...
#
# A process that dies ends the others within seconds, which name it. One that hangs, or whose machine vanishes without
# closing its connections, is noticed when gloo gives up waiting: after 30 minutes, which fairseq cannot change;
# --heartbeat-timeout prints its line, but does not end a process that waits in gloo.
set -euo pipefail

if [[ " $* " == *" --cpu "* ]]; then
  # PyTorch's own DistributedDataParallel is given a GPU's number by fairseq; its legacy one works anywhere.
  ranks=(--distributed-backend gloo --ddp-backend legacy_ddp)
else
  ranks=(--device-id "$LOCAL_RANK")
fi
exec "$@" "${ranks[@]}" --distributed-world-size "$WORLD_SIZE" --distributed-rank "$RANK" \
  --distributed-init-method env:// --distributed-no-spawn
