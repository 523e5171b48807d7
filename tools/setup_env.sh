#!/usr/bin/env bash
# Make (or reuse) the virtual environment of this checkout and print the path of its Python.
#
#   python=$(bash tools/setup_env.sh runtime)   # train, test, caption
#   python=$(bash tools/setup_env.sh tests)     # the same plus optional packages, pytest, ruff, mkdocs
#
# A finished environment is recognised by a stamp that holds a hash of the requirement files, so a
# second call returns at once, and a call after a kill repairs what is there.
#
#   RSCC_PYTHON=/path/to/python   use this interpreter as it is: nothing is made or installed
#   RSCC_VENV=/path/to/folder     put the environment there instead of .venv
set -euo pipefail
unset CDPATH
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TORCH=2.13.0
TORCHVISION=0.28.0
CPU_WHEELS=https://download.pytorch.org/whl/cpu
group=${1:-runtime}
venv=${RSCC_VENV:-.venv}

say() { printf '[env] %s\n' "$*" >&2; }
fail() { say "error: $1"; shift; for line in "$@"; do say "  $line"; done; exit 1; }

files=(requirements/mminstall.txt requirements/runtime.txt)
case $group in
  runtime) ;;
  tests) files+=(requirements/{optional,tests,docs}.txt) ;;
  *) fail "unknown group '$group'" 'expected: runtime or tests' ;;
esac

supported() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
}

if [ -n "${RSCC_PYTHON:-}" ]; then
  supported "$RSCC_PYTHON" || fail "RSCC_PYTHON='$RSCC_PYTHON' is not a Python 3.11 to 3.13"
  "$RSCC_PYTHON" -c 'import importlib.util as found, sys; sys.exit(any(found.find_spec(name) is None
for name in ("torch", "mmengine", "mmcv", "mmseg", "transformers")))' 2>/dev/null ||
    fail "RSCC_PYTHON='$RSCC_PYTHON' lacks packages" \
      "install them: $RSCC_PYTHON -m pip install -r requirements.txt" \
      'or unset RSCC_PYTHON to let this script make .venv'
  command -v "$RSCC_PYTHON"
  exit 0
fi

find_python() {
  local candidate
  for candidate in python3 python3.11 python3.12 python3.13 python; do
    if command -v "$candidate" >/dev/null && supported "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  fail 'no Python 3.11 to 3.13 found' \
    "python3 here is: $(python3 --version 2>&1 || echo missing)" \
    'install one of them, or point RSCC_PYTHON at an interpreter that has the packages'
}

# The folder is an absolute path from here on: callers may stand anywhere.
mkdir -p "$venv" || fail "cannot make the folder '$venv'" 'set RSCC_VENV to a folder you may write'
venv=$(cd "$venv" && pwd)
python=$venv/bin/python
if command -v flock >/dev/null; then
  exec 9>"$venv/.lock"
  flock -n 9 || { say "waiting: another call is installing into $venv"; flock 9; }
fi

gpu=no
if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then gpu=yes; fi
wanted="$(cat requirements/*.txt tools/setup_env.sh setup.py | cksum) gpu=$gpu"
# An environment made for the tests holds everything that running needs.
for stamp in "$venv/.rscc-$group" "$venv/.rscc-tests"; do
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && supported "$python"; then
    echo "$python"
    exit 0
  fi
done

install() {
  local log=$venv/pip.log
  if ! "$python" -m pip install --disable-pip-version-check "$@" >"$log" 2>&1; then
    grep -i 'error' "$log" | tail -n 5 >&2 || tail -n 5 "$log" >&2
    return 1
  fi
}

network() {
  fail "could not install $1" "pip's messages are in $venv/pip.log" \
    'no network? set PIP_INDEX_URL to a reachable mirror, or PIP_FIND_LINKS to a folder of wheels,' \
    'or RSCC_PYTHON to an interpreter that already has the packages; then run the command again'
}

# On a Linux machine without a GPU, the registry's torch would bring gigabytes of CUDA libraries:
# a CPU build is taken where one can be found, nearest place first.
install_torch() {
  if [ "$gpu" = no ] && [ "$(uname -s)" = Linux ]; then
    install "torch==$TORCH+cpu" 2>/dev/null && return
    install "torch==$TORCH+cpu" --index-url "$CPU_WHEELS" --retries 1 --timeout 15 2>/dev/null && return
    say 'no CPU build of torch within reach: taking the CUDA build, a download of some gigabytes'
  fi
  install "torch==$TORCH" || network "torch $TORCH"
}

started=$SECONDS
if ! supported "$python"; then
  base=$(find_python)
  say "making $venv with $("$base" --version 2>&1)"
  find "$venv" -mindepth 1 -maxdepth 1 ! -name .lock -exec rm -rf {} +
  "$base" -m venv "$venv" >&2 || fail "'$base -m venv' does not work here" \
    'on Debian and Ubuntu: apt install python3-venv'
fi
say "installing torch $TORCH (GPU: $gpu)"
install_torch
install "torchvision==$TORCHVISION" || network "torchvision $TORCHVISION"
say "installing the $group packages"
requirements=()
for file in "${files[@]}"; do requirements+=(-r "$file"); done
install "${requirements[@]}" setuptools || network "${files[*]}"
install --no-deps --no-build-isolation --editable . || network 'rscc itself'

# The ordinary OpenCV wheel needs the system's OpenGL and X libraries; servers may lack them.
if ! "$python" -c 'import cv2' 2>/dev/null; then
  say 'the system has no OpenGL: taking the OpenCV build that needs none'
  install --no-deps --force-reinstall opencv-python-headless || network opencv-python-headless
fi
"$python" -c 'import cv2, mmengine, torch, transformers' >&2 ||
  fail 'the installed packages do not import' "remove $venv and run the command again"
echo "$wanted" >"$venv/.rscc-$group"
say "ready in $((SECONDS - started)) s: $venv"
echo "$python"
