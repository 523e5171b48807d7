#!/usr/bin/env bash
# Answer scenes by an array of Slurm jobs, and combine their blocks in a job that waits for them.
#
#   bash tools/slurm_scene.sh PARTITION JOB_NAME PARTS COMMAND
#   bash tools/slurm_scene.sh gpu delft 16 rscc infer CKPT --img-from A --img-to B --out DIR
#
# GPUS (1), CPUS_PER_TASK (4) and SBATCH_ARGS may be set; GPUS=0 asks for no GPU. The combination
# never asks for one: leave --device out of COMMAND. DIR, the images and the weights lie on a disk
# that all nodes see. What the jobs say stands in DIR/logs/. If a part fails, the same line submits
# all again, and blocks that are done are not computed again.
set -euo pipefail
tools="$(unset CDPATH; cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
source "$tools/scene_parts.sh"
if [[ $# -lt 4 || ! "$3" =~ ^[1-9][0-9]*$ ]]; then
  echo 'usage: bash tools/slurm_scene.sh PARTITION JOB_NAME PARTS COMMAND (with --out DIR)' >&2
  exit 2
fi
partition="$1" job="$2" parts="$3"; shift 3
command -v sbatch > /dev/null ||
  fail 'no sbatch here; without Slurm use bash tools/parallel_scene.sh'
check_command "$@"
printf -v line '%q ' "$@"
shared=(--parsable -p "$partition" --cpus-per-task="${CPUS_PER_TASK:-4}" --chdir="$PWD")
gres=()
if [[ "${GPUS:-1}" != 0 ]]; then gres=(--gres="gpu:${GPUS:-1}"); fi

# submit ARGUMENTS...: a job whose script is read from standard input.
submit() {
  # shellcheck disable=SC2086  # SBATCH_ARGS is a list of words
  sbatch "${shared[@]}" ${SBATCH_ARGS:-} "$@"
}

# PARTS is written out, so that a job of one part alone (sbatch --array=3) does the same share.
array="$(submit "${gres[@]}" --job-name="$job" --array="1-$parts" \
  --output="$out/logs/part_%a.log" << END
#!/usr/bin/env bash
export OMP_NUM_THREADS="\${SLURM_CPUS_PER_TASK:-1}"
status=0
$line --part "\${SLURM_ARRAY_TASK_ID}/$parts" || status=\$?
# Places that could not be read are no reason not to combine.
if [[ \$status == $gaps ]]; then status=0; fi
exit \$status
END
)"
array="${array%%;*}"
combined="$(submit --job-name="$job-combine" --dependency="afterok:$array" \
  --kill-on-invalid-dep=yes --output="$out/logs/combine.log" << END
#!/usr/bin/env bash
export OMP_NUM_THREADS="\${SLURM_CPUS_PER_TASK:-1}"
exec $line --combine
END
)"
echo "submitted    $parts parts as job $array, their combination as job ${combined%%;*}"
echo "logs         $out/logs/"
