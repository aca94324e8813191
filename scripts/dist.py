"""Builds the packages as users get them into `dist/`: wheel, source archive, npm packages, the command; with all
licences inside.

The compiler and linker for C are zig's, from PyPI: it knows the symbols of old glibc versions, so what is built
here runs on machines that are older than this one. Then the packages are checked, installed and used (`wheels.py`,
`tarballs.py`, `tests/packages`).
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import importlib.util
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import tarballs
import wheels

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
MACHINE = platform.machine()
TRIPLE = f"{MACHINE}-unknown-linux-gnu"
(PLATFORM,) = (name for name, target in tarballs.PLATFORMS.items() if target == TRIPLE)
# A folder of its own: what zig compiled must not be taken for what the machine's own compiler did.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / wheels.POLICY
BUILT = TARGET / TRIPLE / "dist"
MANIFEST = ROOT / "bindings-python" / "Cargo.toml"
MATURIN = Path(sys.executable).with_name("maturin")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the figures between the document's markers")
    options = parser.parse_args()

    if shutil.which("npm") is None:
        raise SystemExit("the npm packages need Node 20 or newer with npm")
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    build = {**os.environ, **environment_of_zig()}
    profile = ("--profile", "dist", "--target", TRIPLE)
    for package in ("bindwright-cli", "bindwright-node"):
        run("cargo", "build", *profile, "-p", package, environment=build)
    tag = ("--compatibility", wheels.POLICY, "--auditwheel", "check")
    run(MATURIN, "build", *profile, *tag, "-m", MANIFEST, "--out", DIST, environment=build)
    run(MATURIN, "sdist", "-m", MANIFEST, "--out", DIST)

    (file,) = DIST.glob("*.whl")
    finish_wheel(file, notices("bindwright-python").read_bytes())
    (sdist,) = DIST.glob("*.tar.gz")
    command = pack_command(notices("bindwright-cli").read_bytes())
    run("make", "--no-print-directory", "-C", "bindings-node", "script")
    library = TARGET / tarballs.LIBRARY
    library.write_bytes(without_paths((BUILT / "libbindwright_node.so").read_bytes()))
    main_package, platform_package = tarballs.pack(DIST, library, PLATFORM, notices("bindwright-node"))

    wheel = wheels.look_at(file)
    npm = tarballs.look_at(main_package, platform_package)
    for name, value in wheel.rows() + npm.rows():
        print(f"{name:32} {value}")
    wheels.check(wheel)
    tarballs.check(npm)
    wheels.check_command(TARGET / "command" / "bindwright")
    # They take the packages that were built last.
    tests = ("-m", "pytest", "-q", "-c", "bindings-python/pyproject.toml", "--rootdir", ".", "tests/packages")
    run(sys.executable, *tests)
    if options.write:
        wheels.write_into(options.write, "the wheel", wheel.rows())
        wheels.write_into(options.write, "the npm packages", npm.rows())

    print()
    for built in (file, sdist, main_package, platform_package, command):
        print(f"{built.stat().st_size / 1e6:8.1f} MB  {built.relative_to(ROOT)}")
    return 0


def run(*command: str | Path, environment: Mapping[str, str] | None = None) -> None:
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


# Maturin knows which words of Rust's zig does not understand. Most calls only compile: without maturin they are three
# times faster, and there is only Rust's name of the target to leave out.
COMPILER = """\
#!/bin/sh
case " $* " in
*" -c "*) ;;
*) exec "{maturin}" zig {tool} -- -target {target} "$@" ;;
esac
for word; do
    shift
    case $word in
    --target=*) ;;
    *) set -- "$@" "$word" ;;
    esac
done
exec "{zig}" {tool} -target {target} "$@"
"""


def environment_of_zig() -> dict[str, str]:
    """Makes cargo and the builds of the C libraries use zig."""
    folder = TARGET / "zig"
    folder.mkdir(parents=True, exist_ok=True)
    target = f"{MACHINE}-linux-gnu.{'.'.join(map(str, wheels.GLIBC))}"
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise SystemExit("zig is missing: `make dist` installs it")
    zig = Path(spec.origin).with_name("zig")
    for tool in ("cc", "c++"):
        script = folder / tool
        script.write_text(COMPILER.format(zig=zig, maturin=MATURIN, tool=tool, target=target))
        script.chmod(0o755)
    setting = f"CARGO_TARGET_{TRIPLE.upper().replace('-', '_')}"
    cargo = os.environ.get("CARGO_HOME", Path.home() / ".cargo")
    return {
        "CARGO_TARGET_DIR": str(TARGET),
        "CARGO_ZIGBUILD_ZIG_PATH": str(Path(sys.executable).with_name("python-zig")),
        # The build of librdkafka knows only the plain names.
        "CC": str(folder / "cc"),
        "CXX": str(folder / "c++"),
        # Its list of exported symbols names some that it does not have, which zig's linker refuses otherwise.
        "LDFLAGS": "-Wl,--undefined-version",
        f"{setting}_LINKER": str(folder / "cc"),
        # In texts of panics; where this machine keeps its sources is nobody's business.
        f"{setting}_RUSTFLAGS": f"--remap-path-prefix={cargo}=cargo --remap-path-prefix={ROOT}=bindwright",
    }


def without_paths(binary: bytes) -> bytes:
    """OpenSSL notes where it was built, and looks there for modules: a folder that anybody might make elsewhere."""
    path, nowhere = str(TARGET).encode(), b"/nonexistent"
    if len(path) < len(nowhere):
        raise SystemExit(f"CARGO_TARGET_DIR is too short to be replaced in what is built: {TARGET}")
    # Of the same length, so that nothing else moves.
    return binary.replace(path, nowhere.ljust(len(path), b"/"))


def notices(package: str) -> Path:
    """The licence texts of everything in the package that is not ours."""
    file = TARGET / f"notices-{package}"
    run("cargo", "xtask", "notices", "--package", package, "--out", file)
    return file


def finish_wheel(wheel: Path, third_party: bytes) -> None:
    """Puts our licence and the others' where installers look for them, and takes out this machine's paths."""
    texts = {"LICENSE": (ROOT / "LICENSE").read_bytes(), "THIRD-PARTY-NOTICES": third_party}
    changed = wheel.with_suffix(".new")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        (record_name,) = (name for name in old.namelist() if name.endswith(".dist-info/RECORD"))
        folder = record_name.rsplit("/", 1)[0]
        licences = {f"{folder}/licenses/{name}": text for name, text in texts.items()}
        metadata_name = f"{folder}/METADATA"
        metadata = old.read(metadata_name).decode()
        head, gap, body = metadata.partition("\n\n")
        head += "".join(f"\nLicense-File: {name}" for name in texts if f"License-File: {name}\n" not in head + "\n")
        replaced = {metadata_name: (head + gap + body).encode(), **licences}

        rows = [
            row for row in csv.reader(io.StringIO(old.read(record_name).decode())) if row and row[0] not in replaced
        ]
        for item in old.infolist():
            if item.filename != record_name and item.filename not in replaced:
                built = old.read(item)
                data = without_paths(built)
                if item.filename.endswith(".cyclonedx.json"):
                    # The list of what is inside names the folders of our crates.
                    data = data.replace(str(ROOT).encode(), b"/bindwright")
                new.writestr(item, data, zipfile.ZIP_DEFLATED)
                if data != built:
                    rows = [row for row in rows if row[0] != item.filename]
                    rows.insert(0, recorded(item.filename, data))
        for name, data in replaced.items():
            new.writestr(name, data)
            rows.insert(-1, recorded(name, data))
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows(rows)
        new.writestr(record_name, record.getvalue())
    changed.replace(wheel)


def recorded(name: str, data: bytes) -> list[str]:
    """The line of a file in the wheel's RECORD."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return [name, f"sha256={digest}", str(len(data))]


def pack_command(third_party: bytes) -> Path:
    """The command as an archive of its own, for people without Python."""
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    name = f"bindwright-{version}-{TRIPLE}"
    archive = DIST / f"{name}.tar.gz"
    folder = TARGET / "command"
    folder.mkdir(exist_ok=True)
    (folder / "THIRD-PARTY-NOTICES").write_bytes(third_party)
    (folder / "bindwright").write_bytes(without_paths((BUILT / "bindwright").read_bytes()))
    (folder / "bindwright").chmod(0o755)
    with tarfile.open(archive, "w:gz") as tar:
        for file in (folder / "bindwright", ROOT / "LICENSE", folder / "THIRD-PARTY-NOTICES"):
            tar.add(file, f"{name}/{file.name}")
    return archive


if __name__ == "__main__":
    sys.exit(main())
