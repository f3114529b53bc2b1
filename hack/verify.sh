#!/usr/bin/env bash
# Regenerates everything that is generated, runs the linters, and fails if that changed a file.
# What was uncommitted before is left alone: the tree before is compared with the tree after.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
start=$SECONDS
mkdir "$work/objects"

# git_aside runs git with an index and an object store of its own, so the repository does not notice.
objects=$(git rev-parse --path-format=absolute --git-path objects)
git_aside() {
  GIT_INDEX_FILE=$work/index GIT_OBJECT_DIRECTORY=$work/objects GIT_ALTERNATE_OBJECT_DIRECTORIES=$objects git "$@"
}

# snapshot prints the id of a tree with all files that are not ignored, committed or not.
snapshot() { git_aside add --all && git_aside write-tree; }

steps=10
step=0
announce() { step=$((step + 1)) && echo "[$step/$steps] $*"; }

before=$(snapshot)
announce "deepcopy code"
make generate
announce "CRDs and ClusterRole"
make manifests
announce "README of the chart"
make chart-readme
announce "tables of rules and reasons"
make docs
announce "API reference"
make api-reference
announce "go.mod and go.sum"
make tidy
announce "spelling"
make spelling
announce "formatting"
make fmt
announce "linters"
lint=ok
make lint || lint=failed
announce "what changed"
after=$(snapshot)
if [[ $before != "$after" ]]; then
  git_aside --no-pager diff --stat --patch "$before" "$after"
  echo "verify: the files above were not up to date; they are now, so look at them and commit them" >&2
  exit 1
fi
if [[ $lint != ok ]]; then
  echo "verify: the linters found something, see above" >&2
  exit 1
fi
echo "verify: everything is up to date, in $((SECONDS - start)) s"
