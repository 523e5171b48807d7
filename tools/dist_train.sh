#!/usr/bin/env bash
# Train on N processes: NCCL on GPUs, gloo on CPUs.
#
#   bash tools/dist_train.sh CONFIG N [arguments of tools/train.py]
#
# Several nodes, the same line on each:
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash tools/dist_train.sh CONFIG N
set -euo pipefail
data_home="${CDPATH-}"; unset CDPATH  # it would redirect every cd here; Python gets it back below
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [[ $# -lt 2 ]]; then
  echo 'usage: bash tools/dist_train.sh CONFIG N [arguments of tools/train.py]' >&2
  exit 2
fi
config="$1"; processes="$2"; shift 2
source "$tools/dist_common.sh"
launch "$processes" "$tools/train.py" "$config" "$@"
