"""What a built wheel is: tag, size, exported symbols, glibc; and whether that is right."""

from __future__ import annotations

import gzip
import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

# The policy with the oldest glibc that the Rust compiler still supports: every distribution since 2014 is newer.
GLIBC = (2, 17)
POLICY = f"manylinux_{GLIBC[0]}_{GLIBC[1]}"
# What an installer downloads; no more than this, with every component inside.
MOST_COMPRESSED = 20_000_000
ENTRY_POINT = "PyInit__native"
# What programs in other languages need of the command.
SERVING = ("serve", "run")

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- figures of {what}: written by `make dist` -->"
END = "<!-- end of figures -->"


class UnfitError(Exception):
    """A wheel is not what it says, or not what users need."""


@dataclass(frozen=True)
class Binary:
    """What a library or a program exports, and the newest glibc that it asks for."""

    exported: list[str]
    glibc: tuple[int, ...]

    def rows(self) -> list[tuple[str, str]]:
        return [
            ("exported symbols", ", ".join(f"`{name}`" for name in self.exported)),
            ("newest glibc version asked for", ".".join(map(str, self.glibc))),
        ]


@dataclass(frozen=True)
class Wheel:
    file: Path
    # What auditwheel finds in the wheel, whatever its name says.
    tag: str
    compressed: int
    unpacked: int
    library: Binary

    def rows(self) -> list[tuple[str, str]]:
        return [
            ("wheel", f"`{self.file.name}`"),
            ("tag, as auditwheel finds it", f"`{self.tag}`"),
            ("size as downloaded", f"{self.compressed / 1e6:.1f} MB"),
            ("size unpacked", f"{self.unpacked / 1e6:.1f} MB"),
            *self.library.rows(),
        ]


def look_at(file: Path) -> Wheel:
    with zipfile.ZipFile(file) as wheel, tempfile.TemporaryDirectory() as folder:
        (name,) = (name for name in wheel.namelist() if name.endswith(".so"))
        library = look_at_binary(Path(wheel.extract(name, folder)))
        unpacked = sum(item.file_size for item in wheel.infolist())
    auditwheel = (sys.executable, "-m", "auditwheel", "show", str(file))
    said = " ".join(subprocess.run(auditwheel, capture_output=True, text=True, check=True).stdout.split())
    found = re.search(r'platform tag: "(\w+)"', said)
    if found is None:
        raise UnfitError(f"auditwheel finds no platform tag in {file.name}: {said}")
    return Wheel(file, found[1], file.stat().st_size, unpacked, library)


def look_at_binary(file: Path) -> Binary:
    def names(which: str) -> list[str]:
        command = ("nm", "--dynamic", which, str(file))
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return [line.split()[-1] for line in lines]

    asked = re.findall(r"@GLIBC_([\d.]+)", "\n".join(names("--undefined-only")))
    versions = [tuple(map(int, version.split("."))) for version in asked]
    return Binary(sorted(names("--defined-only")), max(versions))


def check(wheel: Wheel) -> None:
    """Two copies of OpenSSL in a process must not meet, so nothing but Python's entry point may be seen."""
    faults = []
    if POLICY not in wheel.file.name or not wheel.tag.startswith(f"{POLICY}_"):
        faults.append(f"expected the tag {POLICY}, auditwheel found {wheel.tag}")
    if wheel.library.exported != [ENTRY_POINT]:
        faults.append(f"expected only {ENTRY_POINT} to be exported, found {', '.join(wheel.library.exported)}")
    if wheel.compressed > MOST_COMPRESSED:
        faults.append(f"{wheel.compressed} bytes are more than {MOST_COMPRESSED}")
    faults += glibc_faults(wheel.library)
    with zipfile.ZipFile(wheel.file) as contents:
        faults += [
            f"{name} has the path {path}" for name in contents.namelist() for path in host_paths(contents.read(name))
        ]
    if faults:
        raise UnfitError(f"{wheel.file.name}: " + "; ".join(faults))


def check_command(file: Path) -> None:
    faults = glibc_faults(look_at_binary(file)) + [f"has the path {path}" for path in host_paths(file.read_bytes())]
    faults += [f"has no `{name}`" for name in SERVING if not knows(file, name)]
    size = len(gzip.compress(file.read_bytes()))
    if size > MOST_COMPRESSED:
        faults.append(f"{size} bytes are more than {MOST_COMPRESSED}")
    if faults:
        raise UnfitError(f"{file.name}: {'; '.join(faults)}")


def knows(file: Path, name: str) -> bool:
    """Whether a command has this sub-command, with the flags of the server."""
    said = subprocess.run([file, name, "--help"], capture_output=True, text=True, check=False)
    return said.returncode == 0 and "--dapr-http-port" in said.stdout


def glibc_faults(binary: Binary) -> list[str]:
    if binary.glibc <= GLIBC:
        return []
    return [f"expected no glibc newer than {'.'.join(map(str, GLIBC))}, found {'.'.join(map(str, binary.glibc))}"]


def host_paths(content: bytes) -> list[str]:
    """Paths of the machine that built a file, which are of no use to others."""
    folders = {str(Path.home()), str(ROOT), os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target"))}
    pattern = b"(?:" + b"|".join(re.escape(folder.encode()) for folder in folders) + rb")/[\x21-\x7e]{1,80}"
    return sorted({found.decode() for found in re.findall(pattern, content)})


def write_into(document: Path, what: str, rows: list[tuple[str, str]]) -> None:
    """Replaces what stands between the two markers."""
    text = document.read_text()
    first = BEGIN.format(what=what)
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UnfitError(f"{document}: the markers of the figures of {what} are missing")
    table = io.StringIO()
    print("| | |\n|---|---|", file=table)
    for name, value in rows:
        print(f"| {name} | {value} |", file=table)
    document.write_text(f"{before}{first}\n{table.getvalue()}{END}{after}")
