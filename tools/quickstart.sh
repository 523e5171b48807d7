#!/usr/bin/env bash
# From a fresh clone to a trained, tested and illustrated change captioner, on this machine.
#
#   bash tools/quickstart.sh           # ten to twenty minutes on two CPU cores
#   bash tools/quickstart.sh --quick   # a smoke run of the same steps, in folders of its own
#
# Makes .venv, renders the built-in dataset, trains configs/blip_synth.py, tests it, and leaves
# metrics.json and report.html in work_dirs/quickstart. In the end rscc-small, the model that comes
# with rscc, answers a real pair, in English and Chinese (real_pair in that folder). Only packages are
# downloaded. Interrupt it at any point and run it again: finished steps are kept, and training goes
# on from its last checkpoint.
#
#   RSCC_DATA=/path   the folder that holds datasets (default: data)
#   RSCC_PYTHON, RSCC_VENV   see tools/setup_env.sh
set -euo pipefail
# CDPATH is ChangeCLIP's name for the data folder; here it would also redirect `cd`.
case ${CDPATH:-} in '' | *:*) ;; *) export RSCC_DATA="${RSCC_DATA:-$CDPATH}" ;; esac
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CONFIG=configs/blip_synth.py
PAIRS=(--train 4000 --val 400 --test 400 --seed 0)
NAME=synth
WORK=work_dirs/quickstart
TRAIN_OPTIONS=()
WEIGHTS=rscc/weights/rscc_small/model.safetensors
PAIR=docs/real_pair

case ${1:-} in
  '') ;;
  --quick)
    PAIRS=(--train 320 --val 16 --test 16 --seed 0)
    NAME=synth_quick
    WORK=work_dirs/quickstart_quick
    TRAIN_OPTIONS=(--cfg-options train_cfg.max_epochs=1)
    ;;
  -h | --help) sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
  *) echo "quickstart: unknown option '$1'; expected --quick or nothing" >&2; exit 2 ;;
esac

say() { printf '\n== %s\n' "$*"; }

# Children inherit the lock, so a training that outlived a kill -9 of this script is noticed, too.
mkdir -p "$WORK"
if command -v flock >/dev/null; then
  exec 8>"$WORK.lock"
  if ! flock -n 8; then
    echo "quickstart: another call, or a training it left behind, is at work in $WORK" >&2
    echo '  wait for it or stop it, then run the command again' >&2
    exit 1
  fi
fi

python=$(bash tools/setup_env.sh runtime)
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
data=${RSCC_DATA:-data}/$NAME

# wall_s adds up over interrupted calls, the making of .venv included; a kill -9 loses one share.
finished=no
child=
clock() { [ "$finished" = yes ] || echo "$SECONDS" >>"$WORK/.seconds"; }
stop() {
  if [ -n "$child" ]; then
    kill "$child" 2>/dev/null || true
    wait "$child" 2>/dev/null || true
  fi
  exit "$1"
}
trap clock EXIT
trap 'stop 130' INT
trap 'stop 143' TERM

# A shell waits for its foreground child before it heeds a signal; for `wait` it does not.
run() {
  "$@" &
  child=$!
  local verdict=0
  wait "$child" || verdict=$?
  child=
  return "$verdict"
}

# A stamp names what a step was made from; another one means that the step is due again.
recipe=$(cat "$CONFIG" $(find configs/_base_ -name '*.py' | sort) | cksum)
recipe="$recipe ${PAIRS[*]} ${TRAIN_OPTIONS[*]:-}"
if [ -f "$WORK/.recipe" ] && [ "$(cat "$WORK/.recipe")" != "$recipe" ]; then
  kept=$WORK.$(date +%Y%m%d-%H%M%S)
  say "the configuration has changed since the last run, which is kept in $kept"
  mv "$WORK" "$kept"
  mkdir "$WORK"
fi
echo "$recipe" >"$WORK/.recipe"

say "1/4 the built-in dataset, in $data"
run "$python" tools/dataset_converters/synth.py --out "$data" "${PAIRS[@]}"

say "2/4 training $CONFIG, in $WORK"
if [ -f "$WORK/.trained" ]; then
  echo "already trained"
else
  run "$python" tools/train.py "$CONFIG" --work-dir "$WORK" --resume --amp --data-root "$data" \
    ${TRAIN_OPTIONS[@]+"${TRAIN_OPTIONS[@]}"}
  touch "$WORK/.trained"
fi

say '3/4 testing on pairs it has never seen'
if [ -f "$WORK/metrics.json" ] && [ -f "$WORK/report.html" ]; then
  echo "already tested"
  finished=yes
else
  checkpoint=$("$python" tools/misc/quickstart_metrics.py "$WORK" --find-checkpoint)
  run "$python" tools/test.py "$CONFIG" "$checkpoint" --work-dir "$WORK/test" --data-root "$data" \
    --out "$WORK/predictions.json" --show-dir "$WORK/show"
  cp "$WORK/show/report.html" "$WORK/report.html"
fi
"$python" tools/misc/quickstart_metrics.py "$WORK" --seconds "$SECONDS"
finished=yes

# Behind the scores, which must not be lost if this fails.
say "4/4 a real pair ($PAIR), answered by the model that comes with rscc"
if [ -f "$WEIGHTS" ]; then
  run "$python" tools/infer.py --img-from "$PAIR/2010.png" --img-to "$PAIR/2014.png" \
    --language both --out "$WORK/real_pair"
else
  echo "left out: the weights of rscc-small are not in this copy of rscc: no $WEIGHTS"
  echo '  (in a clone of git: git checkout -- rscc/weights)'
fi
