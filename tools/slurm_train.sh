#!/usr/bin/env bash
# Train on a Slurm cluster, one process a GPU.
#
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]
#
# GPUS (8), GPUS_PER_NODE (at most 8), CPUS_PER_TASK (5) and SRUN_ARGS may be set; GPUS_PER_NODE=0
# asks for no GPU and runs GPUS processes on CPUs.
set -euo pipefail
data_home="${CDPATH-}"; unset CDPATH  # it would redirect every cd here; Python gets it back below
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [[ $# -lt 3 ]]; then
  echo 'usage: bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of tools/train.py]' >&2
  exit 2
fi
source "$tools/slurm_common.sh"
submit train "$@"
