#!/usr/bin/env bash
# Test on a Slurm cluster, one process a GPU.
#
#   bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CKPT [arguments of tools/test.py]
#
# GPUS (8), GPUS_PER_NODE (at most 8), CPUS_PER_TASK (5) and SRUN_ARGS may be set; GPUS_PER_NODE=0
# asks for no GPU and runs GPUS processes on CPUs.
set -euo pipefail
data_home="${CDPATH-}"; unset CDPATH  # it would redirect every cd here; Python gets it back below
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [[ $# -lt 4 ]]; then
  echo 'usage: bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CKPT [arguments of tools/test.py]' >&2
  exit 2
fi
source "$tools/slurm_common.sh"
submit test "$@"
