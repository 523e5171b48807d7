#!/usr/bin/env bash
# Lint and test everything, from a fresh clone to a verdict; what continuous integration calls.
#
#   bash tools/run_tests.sh                     # all, half an hour on two cores
#   bash tools/run_tests.sh --fast              # without the tests marked slow
#   bash tools/run_tests.sh tests/text -k swap  # further arguments go to pytest
#
# Makes .venv where there is none (see tools/setup_env.sh), then works offline.
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."

markers='not gpu and not network and not fuzz'
if [ "${1:-}" = --fast ]; then
  markers="$markers and not slow"
  shift
fi
python=$(bash tools/setup_env.sh tests)

# Nothing may ask a hub; one thread a worker, because two workers share the cores.
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" MPLBACKEND=Agg

lint=0
"$python" -m ruff check . || lint=1
verdict=0
# Files in the order of tests/conftest.py: xdist's own puts those with few long tests at the end,
# where the other worker waits for them.
"$python" -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "$markers" "$@" || verdict=$?
if [ "$lint" != 0 ]; then
  echo 'run_tests: ruff found problems; they are listed above the tests' >&2
  [ "$verdict" != 0 ] || verdict=1
fi
exit "$verdict"
