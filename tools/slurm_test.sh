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
partition="$1"; job="$2"; shift 2
command -v srun > /dev/null || {
  echo 'error: no srun here; without Slurm use bash tools/dist_test.sh' >&2
  exit 2
}
tasks="${GPUS:-8}"
per_node="${GPUS_PER_NODE:-$((tasks < 8 ? tasks : 8))}"
resources=(--ntasks="$tasks" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1)
if [[ "$per_node" != 0 ]]; then
  resources+=(--gres="gpu:$per_node" --ntasks-per-node="$per_node")
fi
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${CPUS_PER_TASK:-5}}"
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
if [[ -n "$data_home" ]]; then export CDPATH="$data_home"; fi
# shellcheck disable=SC2086  # SRUN_ARGS is a list of words
exec srun -p "$partition" --job-name="$job" "${resources[@]}" ${SRUN_ARGS:-} \
  "${PYTHON:-python}" -u "$tools/test.py" "$@" --launcher slurm
