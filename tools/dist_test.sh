#!/usr/bin/env bash
# Test on N processes: NCCL on GPUs, gloo on CPUs.
#
#   bash tools/dist_test.sh CONFIG CKPT N [arguments of tools/test.py]
#
# Several nodes: NNODES, NODE_RANK, MASTER_ADDR and PORT as for dist_train.sh.
set -euo pipefail
data_home="${CDPATH-}"; unset CDPATH  # it would redirect every cd here; Python gets it back below
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [[ $# -lt 3 ]]; then
  echo 'usage: bash tools/dist_test.sh CONFIG CKPT N [arguments of tools/test.py]' >&2
  exit 2
fi
config="$1"; checkpoint="$2"; processes="$3"; shift 3
source "$tools/dist_common.sh"
launch "$processes" "$tools/test.py" "$config" "$checkpoint" "$@"
