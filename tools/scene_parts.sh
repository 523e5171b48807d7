# Sourced by parallel_scene.sh and slurm_scene.sh.

# A part ends with this code where it is done but places could not be read: they are gaps in the map.
gaps=3

fail() {
  echo "error: $1" >&2
  exit 2
}

# check_command COMMAND...: refuse what the parts add themselves, and set $out to the folder of --out.
check_command() {
  local word previous=''
  out=''
  for word in "$@"; do
    case "$word" in
      --part | --part=* | --combine | --dry-run)
        fail "$word: the script gives --part and --combine itself, to the command without them" ;;
      --out=*) out="${word#--out=}" ;;
    esac
    if [[ "$previous" == --out ]]; then out="$word"; fi
    previous="$word"
  done
  [[ -n "$out" ]] || fail 'the command names no folder for its results: --out DIR'
  mkdir -p "$out/logs"
}
