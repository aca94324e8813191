#!/usr/bin/env bash
# The tests of all languages, one part after the other; a part that fails does not keep the others from running.
# `make test` prepares what they need. With arguments, only the parts named: scripts/test.sh python packages
set -uo pipefail
cd "$(dirname "$0")/.."

# Where scripts/tools.sh puts a Go if the system's is too old.
PATH=$HOME/.cache/bindwright/tools/go/bin:$PATH

python=${PYTHON:-.venv/bin/python}
only=" $* "
report=()
failed=0

wanted() { [[ $only == "  " || $only == *" $1 "* ]]; }

# part NAME COMMAND...
part() {
    local name=$1 since=$SECONDS state=ok
    shift
    wanted "$name" || return 0
    printf '\n==== %s\n' "$name"
    "$@" || { state=FAILED failed=1; }
    report+=("$(printf '%-10s %-8s %4d s' "$name" "$state" $((SECONDS - since)))")
}

# One configuration for all tests in Python.
run_pytest() {
    "$python" -m pytest -q -c bindings-python/pyproject.toml --rootdir . "$@"
}

part rust cargo test --release --workspace --quiet
part python run_pytest bindings-python/tests
part servers run_pytest tests/servers
part serve run_pytest tests/serve
if scripts/tools.sh has-node; then
    part node make --no-print-directory -C bindings-node test
elif wanted node; then
    report+=("node       LEFT OUT: there is no Node 20 or newer with npm")
fi
[ -d bindings-uniffi ] && part java make --no-print-directory -C bindings-uniffi test
part packages run_pytest tests/packages
part faults "$python" tests/faults/run.py --short

printf '\n==== summary\n'
printf '%s\n' "${report[@]}"
exit "$failed"
