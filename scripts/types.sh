#!/usr/bin/env bash
# Types of everything in Python; and whether the stub of the native module says what the module has.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
case $python in /*) ;; *) python=$PWD/$python ;; esac

(cd bindings-python && "$python" -m mypy --strict python tests)
(cd bindings-python && "$python" -m mypy.stubtest bindwright._native \
    --allowlist stubtest-allowlist.txt --ignore-unused-allowlist)
# What users of pyright see: all of the package has a known type, and a program that uses all of it has no fault.
pyright() { PATH=$(dirname "$python"):$PATH "$python" -m pyright "$@"; }
(cd bindings-python/tests/typing && pyright --warnings &&
    pyright --verifytypes bindwright --ignoreexternal | grep -E ' error: |completeness')
strict() { "$python" -m mypy --strict --python-version 3.11 --enable-error-code ignore-without-code "$@"; }
MYPYPATH=tests/servers strict tests/servers
MYPYPATH=tests/packages:scripts:tests/servers strict tests/packages
MYPYPATH=tests/serve:tests/servers strict tests/serve
if "$python" -c 'import confluent_kafka' 2>/dev/null; then
    (cd tests/faults && MYPYPATH=.:../servers strict ./*.py)
fi
MYPYPATH=examples/orders strict examples/orders/*.py
# Each example is a program of its own.
for program in examples/orders/python/*.py; do strict "$program"; done
for folder in fastapi flask worker; do
    for program in "examples/$folder"/*.py; do MYPYPATH=examples/$folder strict "$program"; done
done
MYPYPATH=tests/servers strict scripts/*.py
if compgen -G 'benches/*.py' >/dev/null; then
    if "$python" -c 'import confluent_kafka' 2>/dev/null; then (cd benches && strict ./*.py); fi
fi
