#!/usr/bin/env bash
# CLIP confidence files of SYSU-CD, as ChangeCLIP makes them.
#
#   bash tools/clip_infer_sysu.sh data/SYSU-CD [arguments of tools/clip_inference.py]
set -euo pipefail
unset CDPATH  # it would redirect the cd below
tools="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
if [[ $# -lt 1 || "$1" == -* ]]; then
  echo 'usage: bash tools/clip_infer_sysu.sh ROOT [arguments of tools/clip_inference.py]' >&2
  exit 2
fi
root="$1"; shift
exec "${PYTHON:-python}" "$tools/clip_inference.py" --src_path "$root" --split train val test \
  --img_split time1 time2 --model_name ViT-B/16 --class_names_path remote_sensing_56 \
  --tag 56_vit16 "$@"
