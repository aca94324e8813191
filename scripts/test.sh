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
failed=()
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'exit 130' INT

wanted() { [[ $only == "  " || $only == *" $1 "* ]]; }

# part NAME COMMAND...
part() {
    local name=$1 since=$SECONDS state=ok
    shift
    wanted "$name" || return 0
    printf '\n==== %s\n' "$name"
    # An interrupted part still says what it has to.
    "$@" 2>&1 | tee -i "$logs/$name" || { state=FAILED failed+=("$name"); }
    report+=("$(printf '%-10s %-8s %4d s' "$name" "$state" $((SECONDS - since)))")
}

# What the log of a part says of its failures: the sections of cargo, pytest and our reporter for Node, or else its end.
failures() {
    local found
    found=$(sed -n -E -e '/^failures:$/,/^test result: /p' -e '/^=+ (FAILURES|ERRORS) =+$/,$p' -e '/^error: /,$p' "$1")
    if [ -n "$found" ]; then printf '%s\n' "$found"; else tail -n 60 "$1"; fi
}

# One configuration for all tests in Python.
run_pytest() {
    "$python" -m pytest -q -c bindings-python/pyproject.toml --rootdir . "$@"
}

part rust cargo test --release --workspace --quiet --no-fail-fast
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

# Once more at the end, where it is looked for.
for name in ${failed[@]+"${failed[@]}"}; do
    printf '\n==== what failed in %s\n' "$name"
    failures "$logs/$name"
done

printf '\n==== summary\n'
printf '%s\n' "${report[@]}"
[ "${#failed[@]}" -eq 0 ]
