#!/usr/bin/env bash
# Installs the tools that the Makefile needs and that are missing: with apt where there is apt, else it names them.
set -euo pipefail

command -v cargo >/dev/null || {
    echo "Rust is missing: install it with rustup; rust-toolchain.toml names the version" >&2
    exit 1
}
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "$python is older than 3.11; name a newer one: make PYTHON=python3.12 ..." >&2
    exit 1
}

install() {
    [ $# -gt 0 ] || return 0
    command -v apt-get >/dev/null || { echo "please install: $*" >&2; return 1; }
    echo "installing with apt: $*"
    local root=()
    [ "$(id -u)" = 0 ] || root=(sudo)
    "${root[@]}" apt-get -qq -o Acquire::Retries=3 update &&
        "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >/dev/null
}

# What librdkafka, OpenSSL, zlib and zstd are built with. They bring their own sources: no -dev package is needed.
needed=()
for tool in gcc g++ make; do
    command -v "$tool" >/dev/null || needed+=("$tool")
done
# A perl with all its modules; systems come with less.
perl -MIPC::Cmd -e 1 2>/dev/null || needed+=(perl)
[ -x "${VENV:-.venv}/bin/python" ] || "$python" -c 'import ensurepip' 2>/dev/null || needed+=(python3-venv)
install "${needed[@]}"

# Only the tests against a real Kafka want it; they say so themselves.
if command -v java >/dev/null && ! command -v mvn >/dev/null; then
    install maven || echo "without Maven, tests against a real Kafka are skipped" >&2
fi
