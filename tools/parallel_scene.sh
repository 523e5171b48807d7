#!/usr/bin/env bash
# Answer scenes by several processes on this machine, and combine their blocks.
#
#   bash tools/parallel_scene.sh PARTS COMMAND
#   bash tools/parallel_scene.sh 4 python tools/infer.py CKPT --img-from A --img-to B --out DIR
#
# COMMAND is run PARTS times with --part, each time with its share of the cores (OMP_NUM_THREADS
# may be set), and once with --combine. What the parts say stands in DIR/logs/. After an error or an
# interruption the same line goes on where it was.
set -euo pipefail
tools="$(unset CDPATH; cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$tools/scene_parts.sh"
if [[ $# -lt 2 || ! "$1" =~ ^[1-9][0-9]*$ ]]; then
  echo 'usage: bash tools/parallel_scene.sh PARTS COMMAND (with --out DIR)' >&2
  exit 2
fi
parts="$1"; shift
check_command "$@"
cores="$(nproc 2> /dev/null || getconf _NPROCESSORS_ONLN)"
# The combination has the machine to itself.
all_threads="${OMP_NUM_THREADS:-$cores}"
threads="${OMP_NUM_THREADS:-$((cores > parts ? cores / parts : 1))}"

processes=()
# Bash lets its background processes ignore Ctrl-C.
trap 'kill "${processes[@]}" 2> /dev/null; wait; exit 130' INT TERM
for ((part = 1; part <= parts; part++)); do
  OMP_NUM_THREADS="$threads" "$@" --part "$part/$parts" > "$out/logs/part_$part.log" 2>&1 &
  processes+=("$!")
done

failed=0
for ((part = 1; part <= parts; part++)); do
  status=0
  wait "${processes[part - 1]}" || status=$?
  if [[ "$status" != 0 && "$status" != "$gaps" ]]; then
    failed=$((failed + 1))
    echo "error: part $part/$parts ended with code $status; the end of $out/logs/part_$part.log:" >&2
    tail -n 5 "$out/logs/part_$part.log" >&2
  fi
done
if [[ "$failed" != 0 ]]; then
  echo "error: $failed of $parts parts failed, so nothing was combined. Blocks that are done are" \
    'kept: the same line goes on' >&2
  exit 1
fi
trap - INT TERM
OMP_NUM_THREADS="$all_threads" exec "$@" --combine
