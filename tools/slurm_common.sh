# Sourced by slurm_train.sh and slurm_test.sh, which set $tools and $data_home.

# submit train|test PARTITION JOB_NAME ARGUMENTS...
submit() {
  local what="$1" partition="$2" job="$3"; shift 3
  command -v srun > /dev/null || {
    echo "error: no srun here; without Slurm use bash tools/dist_$what.sh" >&2
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
    "${PYTHON:-python}" -u "$tools/$what.py" "$@" --launcher slurm
}
