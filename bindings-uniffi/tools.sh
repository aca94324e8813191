#!/bin/sh
# Finds the JDK and installs the generator that the smoke test from Java needs.
#
#   tools.sh java-home     prints the folder of a JDK 25; fails where there is none
#   tools.sh generator     prints the path of uniffi-bindgen-java, after installing it if need be
#
# The generator is a program, not a dependency of the workspace: it has a version, a lock file and a cache of its own.
set -eu

# The version that fits the `uniffi` of Cargo.toml: both read the same metadata of the library.
GENERATOR=0.5.2
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/bindwright/tools"

java_home() {
    for home in "${JAVA25_HOME:-}" "${JAVA_HOME:-}" /usr/lib/jvm/*25* /Library/Java/JavaVirtualMachines/*25*/Contents/Home; do
        if [ -x "$home/bin/javac" ] && "$home/bin/javac" -version 2>&1 | grep -q '^javac 25'; then
            echo "$home"
            return
        fi
    done
    echo "no JDK 25: set JAVA25_HOME, or install Temurin 25" >&2
    return 1
}

generator() {
    program="$CACHE/bin/uniffi-bindgen-java"
    if [ "$("$program" --version 2>/dev/null)" != "uniffi-bindgen-java $GENERATOR" ]; then
        # Built where the workspace does not see it, so that its features do not rebuild our dependencies.
        CARGO_TARGET_DIR="$CACHE/build" cargo install --quiet --locked --force --root "$CACHE" \
            "uniffi-bindgen-java@$GENERATOR" >&2
        rm -rf "$CACHE/build"
    fi
    echo "$program"
}

case "${1:-}" in
    java-home) java_home ;;
    generator) generator ;;
    *) sed -n '2,7p' "$0"; exit 2 ;;
esac
