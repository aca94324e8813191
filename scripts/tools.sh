#!/usr/bin/env bash
# Installs the tools that the Makefile needs and that are missing: with apt where there is apt, else it names them.
# `scripts/tools.sh has-node` only answers whether there is a Node that is new enough, with npm;
# `scripts/tools.sh for-tests` installs what only the tests and measurements want.
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

offered() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9]*:\)\{0,1\}\([0-9].*\)/\2/p'; }
# at_least VERSION OTHER
at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

if [ "${1:-}" = for-tests ]; then
    # Without it tests are skipped aloud on a laptop, and fail in CI: green means that they ran.
    missing() {
        echo "$1 is missing: $2" >&2
        [ -z "${CI:-}" ] || exit 1
        echo "without it, $3 are skipped here" >&2
    }

    # Callers of `bindwright serve`, and a certificate for an application.
    for tool in curl openssl; do
        command -v "$tool" >/dev/null || install "$tool" || missing "$tool" "install it" "tests of serve"
    done

    # A real Kafka runs on it, and Dapr's SDK for Java: a JDK, because a program is compiled.
    if [ -z "${JAVA_HOME:-}" ] && ! command -v javac >/dev/null && command -v apt-cache >/dev/null; then
        for jdk in openjdk-21-jdk-headless openjdk-17-jdk-headless; do
            [ -n "$(offered "$jdk")" ] && install "$jdk" && break
        done || true
    fi
    command -v javac >/dev/null || [ -x "${JAVA_HOME:-}/bin/javac" ] ||
        missing "a JDK, 17 or newer," "install one, or set JAVA_HOME" "tests against a real Kafka, and of serve with Java,"
    command -v mvn >/dev/null || install maven || missing Maven "install it" "tests against a real Kafka"

    # Dapr's SDK for Go. From 1.21 on, Go fetches the version that a program asks for by itself; an older one, such as that
    # of Debian 12, can be told to, because a version of Go is a module like others. scripts/test.sh looks here first.
    own_go=$HOME/.cache/bindwright/tools/go
    PATH=$own_go/bin:$PATH
    has_go() {
        local version
        version=$(go env GOVERSION 2>/dev/null) && at_least "${version#go}" 1.21
    }
    fetch_go() {
        local version platform fetched
        version=$(sed -n 's/^go //p' "$(dirname "$0")/../tests/serve/go/go.mod")
        platform=$(go env GOOS)-$(go env GOARCH)
        echo "fetching Go $version with $(go env GOVERSION)"
        # Go compares the checksum with the public ones.
        fetched=$(go mod download -json "golang.org/toolchain@v0.0.1-go$version.$platform") || return
        fetched=$(sed -n 's/^[[:space:]]*"Dir": "\(.*\)",*$/\1/p' <<<"$fetched")
        # Modules are read-only, and say of no file that it is a program.
        rm -rf "$own_go" "$own_go.new" && mkdir -p "$(dirname "$own_go")" &&
            cp -r "$fetched" "$own_go.new" && chmod -R u+w "$own_go.new" &&
            find "$own_go.new/bin" "$own_go.new/pkg/tool" -type f -exec chmod +x {} + &&
            mv "$own_go.new" "$own_go"
    }
    if ! has_go && command -v apt-cache >/dev/null &&
        { ! command -v go >/dev/null || at_least "$(offered golang-go)" 1.21; }; then
        install golang-go || true
    fi
    has_go || ! command -v go >/dev/null || fetch_go || true
    has_go || missing "Go, 1.21 or newer," "install it from go.dev" "tests of serve with Go"
    exit
fi

# What librdkafka, OpenSSL, zlib and zstd are built with. They bring their own sources: no -dev package is needed.
needed=()
for tool in gcc g++ make; do
    command -v "$tool" >/dev/null || needed+=("$tool")
done
# A perl with all its modules; systems come with less.
perl -MIPC::Cmd -e 1 2>/dev/null || needed+=(perl)
[ -x "${VENV:-.venv}/bin/python" ] || "$python" -c 'import ensurepip' 2>/dev/null || needed+=(python3-venv)
install "${needed[@]}"

# Everything of the npm package wants it. Debian 12 and Ubuntu 24.04 have 18, which is too old.
if ! has_node && command -v apt-cache >/dev/null; then
    ! at_least "$(offered nodejs)" 20 || install nodejs npm || true
fi
has_node || {
    echo "Node 20 or newer with npm is missing: install it from nodejs.org or with a version manager (nvm, fnm)" >&2
    [ -z "${CI:-}" ] || exit 1
    echo "without it, everything of Node is left out here" >&2
}
