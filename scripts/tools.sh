#!/usr/bin/env bash
# Installs the tools that the Makefile needs and that are missing: with apt where there is apt, else it names them.
# `scripts/tools.sh has-node` only answers whether there is a Node that is new enough, with npm.
set -euo pipefail

has_node() {
    command -v npm >/dev/null && [ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 20' 2>/dev/null)" = true ]
}
if [ "${1:-}" = has-node ]; then
    has_node
    exit
fi

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

# Everything of the npm package wants it. Debian 12 and Ubuntu 24.04 have 18, which is too old.
if ! has_node && command -v apt-cache >/dev/null; then
    offered=$(apt-cache policy nodejs | sed -n 's/^ *Candidate: \([0-9]*\).*/\1/p')
    [ "${offered:-0}" -lt 20 ] || install nodejs npm || true
fi
has_node || {
    echo "Node 20 or newer with npm is missing: install it from nodejs.org or with a version manager (nvm, fnm)" >&2
    [ -z "${CI:-}" ] || exit 1
    echo "without it, everything of Node is left out here" >&2
}
