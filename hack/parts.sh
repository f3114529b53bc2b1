#!/usr/bin/env bash
# Runs targets of the Makefile one after the other, and ends with a table of how each went and how long it took. Of `A,B+C+D`
# A and then B run, which mostly wait, and beside them C and then D, which only compute and give way; what they print follows.
# A part that fails ends nothing: the others run all the same.
set -euo pipefail
cd "$(dirname "$0")/.."

left=$(mktemp -d)
beside=
trap 'end_beside; rm -rf "$left"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
touch "$left"/{table,failed}

# part TARGET: its own parts, if it has some, are in the table as well (PARTS is the file for them).
part() {
  local start=$SECONDS result=passed
  echo "=== make $1"
  PARTS=$left/of-$1 make "$1" || { result=FAILED && echo "$1" >>"$left/failed"; }
  {
    printf '%-18s %-7s %3d min %2d s\n' "$1" "$result" $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60))
    [[ ! -e $left/of-$1 ]] || sed 's/^/  /' "$left/of-$1"
  } | tee -a "$left/table"
}

# lane FIRST[,SECOND...] OTHER...
lane() {
  local waiting
  IFS=, read -ra waiting <<<"$1"
  set -m # a process group of its own, to be ended as a whole
  (
    renice -n 19 "$BASHPID" >/dev/null
    for other in "${@:2}"; do part "$other"; done
  ) &>"$left/said" </dev/null &
  beside=$!
  set +m
  echo "=== beside: ${*:2}"
  for one in "${waiting[@]}"; do part "$one"; done
  echo "=== waiting for ${*:2}"
  wait "$beside" || echo "${*:2}" >>"$left/failed"
  beside=
  cat "$left/said"
}

end_beside() { [[ -z $beside ]] || kill -- "-$beside" 2>/dev/null || true; }

for parts in "$@"; do
  IFS=+ read -ra names <<<"$parts"
  if ((${#names[@]} > 1)); then lane "${names[@]}"; else part "$parts"; fi
done
printf '=== where the time went, %d min %d s\n' $((SECONDS / 60)) $((SECONDS % 60))
cat "$left/table"
[[ -z ${PARTS:-} ]] || cp "$left/table" "$PARTS"
[[ ! -s $left/failed ]]
