#!/usr/bin/env bash
# Runs each fuzz test of the repository for FUZZTIME, one after the other. What fails is written to testdata/fuzz, and is a
# test from then on.
set -euo pipefail
cd "$(dirname "$0")/.."

while IFS=: read -r file name; do
  echo "--- $name for $FUZZTIME"
  go test -vet=off -run='^$' -fuzz="^$name\$" -fuzztime="$FUZZTIME" "./$(dirname "$file")"
done < <(git grep -oE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go' | sed 's/func //')
