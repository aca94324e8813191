"""Builds the packages as users get them into `dist/`: wheel, source archive, the command; with all licences inside."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
MANIFEST = ROOT / "bindings-python" / "Cargo.toml"


def main() -> int:
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    run("cargo", "build", "--profile", "dist", "-p", "bindwright-cli")
    maturin = Path(sys.executable).with_name("maturin")
    run(maturin, "build", "--profile", "dist", "-m", MANIFEST, "--out", DIST)
    run(maturin, "sdist", "-m", MANIFEST, "--out", DIST)

    (wheel,) = DIST.glob("*.whl")
    add_licences(wheel, notices("bindwright-python"))
    (sdist,) = DIST.glob("*.tar.gz")
    command = pack_command(notices("bindwright-cli"))

    print()
    for file in (wheel, sdist, command):
        print(f"{file.stat().st_size / 1e6:8.1f} MB  {file.relative_to(ROOT)}")
    return 0


def run(*command: str | Path) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


def notices(package: str) -> bytes:
    """The licence texts of everything in the package that is not ours."""
    file = TARGET / f"notices-{package}"
    run("cargo", "xtask", "notices", "--package", package, "--out", file)
    return file.read_bytes()


def add_licences(wheel: Path, third_party: bytes) -> None:
    """Puts our licence and the others' into the wheel, where installers look for them."""
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
                new.writestr(item, old.read(item), zipfile.ZIP_DEFLATED)
        for name, data in replaced.items():
            new.writestr(name, data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.insert(-1, [name, f"sha256={digest}", str(len(data))])
        record = io.StringIO()
        csv.writer(record, lineterminator="\n").writerows(rows)
        new.writestr(record_name, record.getvalue())
    changed.replace(wheel)


def pack_command(third_party: bytes) -> Path:
    """The command as an archive of its own, for people without Python."""
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    asked = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    (host,) = (line.removeprefix("host: ") for line in asked.splitlines() if line.startswith("host: "))
    name = f"bindwright-{version}-{host}"
    archive = DIST / f"{name}.tar.gz"
    (TARGET / "dist" / "THIRD-PARTY-NOTICES").write_bytes(third_party)
    with tarfile.open(archive, "w:gz") as tar:
        for file in (TARGET / "dist" / "bindwright", ROOT / "LICENSE", TARGET / "dist" / "THIRD-PARTY-NOTICES"):
            tar.add(file, f"{name}/{file.name}")
    return archive


if __name__ == "__main__":
    sys.exit(main())
