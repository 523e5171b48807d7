# Sourced by dist_train.sh and dist_test.sh, which set $tools and $data_home.

nodes="${NNODES:-1}"
node="${NODE_RANK:-0}"
master="${MASTER_ADDR:-127.0.0.1}"
python="${PYTHON:-python}"

fail() {
  echo "error: $1" >&2
  exit 2
}

# The port at which the processes meet: $PORT if it can be used, else a free one.
choose_port() {
  if [[ -n "${PORT:-}" ]]; then
    [[ "$PORT" =~ ^[0-9]+$ ]] || fail "PORT='$PORT' is not a number"
    if [[ "$node" == 0 ]] && ! "$python" -c "
import socket
with socket.socket() as s:
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('', $PORT))" 2>/dev/null; then
      fail "PORT=$PORT is in use on this machine: choose another, or unset PORT to get a free one"
    fi
    echo "$PORT"
  elif [[ "$nodes" != 1 ]]; then
    echo 29500  # all nodes have to agree on it
  else
    "$python" -c "
import socket
with socket.socket() as s:
    s.bind(('', 0))
    print(s.getsockname()[1])"
  fi
}

# launch PROCESSES SCRIPT ARGUMENTS...
launch() {
  local processes="$1" port cores; shift
  [[ "$processes" =~ ^[1-9][0-9]*$ ]] || fail "the number of processes is '$processes'"
  port="$(choose_port)"
  cores="$("$python" -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)')"
  # torchrun would give every process one thread.
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$((cores > processes ? cores / processes : 1))}"
  export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
  if [[ -n "$data_home" ]]; then export CDPATH="$data_home"; fi
  exec "$python" -m torch.distributed.run --nnodes="$nodes" --node_rank="$node" \
    --nproc_per_node="$processes" --master_addr="$master" --master_port="$port" \
    "$@" --launcher pytorch
}
