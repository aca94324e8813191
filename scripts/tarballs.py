"""What the built npm packages are: contents, size, exported symbols, glibc; and whether that is right."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wheels

ROOT = Path(__file__).resolve().parent.parent
ENTRY_POINT = "napi_register_module_v1"
LIBRARY = "bindwright.node"
PLATFORMS = {"linux-x64-gnu": "x86_64-unknown-linux-gnu"}
"""Platform packages, which are the folders in `bindings-node/npm`, and Rust's names of their targets."""
PLATFORM_FILES = {LIBRARY, "package.json", "README.md", "LICENSE", "THIRD-PARTY-NOTICES"}
UNWANTED = ("scripts", "dependencies", "devDependencies", "bundleDependencies")
MAIN_FOLDERS = ("dist/", "bin/")
MAIN_FILES = {"package.json", "README.md", "LICENSE"}


@dataclass(frozen=True)
class Tarball:
    file: Path
    manifest: dict[str, Any]
    contents: dict[str, bytes]

    @property
    def compressed(self) -> int:
        return self.file.stat().st_size

    @property
    def unpacked(self) -> int:
        return sum(map(len, self.contents.values()))


def read(file: Path) -> Tarball:
    with tarfile.open(file) as tar:
        parts = [(item.name.removeprefix("package/"), tar.extractfile(item)) for item in tar]
        contents = {name: part.read() for name, part in parts if part is not None}
    return Tarball(file, json.loads(contents["package.json"]), contents)


def pack(out: Path, library: Path, platform: str, notices: Path | None = None) -> tuple[Path, Path]:
    """The main package from what `make -C bindings-node script` made, and the one for a platform."""
    script = ROOT / "bindings-node" / "scripts" / "pack.mjs"
    given: list[str | Path] = [] if notices is None else ["--notices", notices]
    command: list[str | Path] = ["node", script, "--out", out, *given, f"{platform}={library}"]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    main, native = map(Path, said.splitlines())
    return main, native


@dataclass(frozen=True)
class Npm:
    """The main package and the one for this machine."""

    main: Tarball
    platform: Tarball
    library: wheels.Binary
    is_stripped: bool

    def rows(self) -> list[tuple[str, str]]:
        return [
            ("main package", f"`{self.main.file.name}`"),
            ("its size as downloaded", f"{self.main.compressed / 1e3:.0f} kB"),
            ("platform package", f"`{self.platform.file.name}`"),
            ("its size as downloaded", f"{self.platform.compressed / 1e6:.1f} MB"),
            ("its size unpacked", f"{self.platform.unpacked / 1e6:.1f} MB"),
            *self.library.rows(),
        ]


def look_at(main: Path, platform: Path) -> Npm:
    native = read(platform)
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / LIBRARY
        library.write_bytes(native.contents[LIBRARY])
        sections = subprocess.run(("readelf", "-SW", library), capture_output=True, text=True, check=True).stdout
        is_stripped = re.search(r"\.(symtab|debug_\w+) ", sections) is None
        return Npm(read(main), native, wheels.look_at_binary(library), is_stripped)


def check(npm: Npm) -> None:
    """What installs them must not have to run anything of ours, nor to get anything else."""
    faults = []
    for tarball in (npm.main, npm.platform):
        faults += [f"{tarball.file.name} has {field}" for field in UNWANTED if field in tarball.manifest]
    faults += [f"{peer} is not optional" for peer in needed_peers(npm.main.manifest)]
    version = npm.main.manifest["version"]
    if npm.main.manifest["optionalDependencies"] != {f"bindwright-{name}": version for name in PLATFORMS}:
        faults.append(f"the main package depends on {npm.main.manifest['optionalDependencies']}")
    strange = [name for name in npm.main.contents if name not in MAIN_FILES and not name.startswith(MAIN_FOLDERS)]
    if strange or not npm.main.contents.keys() > MAIN_FILES:
        faults.append(f"the main package has {', '.join(npm.main.contents)}")
    if npm.platform.contents.keys() != PLATFORM_FILES:
        faults.append(f"the platform package has {', '.join(npm.platform.contents)}")
    chosen_by = ("os", "cpu", "libc")
    faults += [f"the platform package says no {field}" for field in chosen_by if not npm.platform.manifest.get(field)]
    if npm.library.exported != [ENTRY_POINT]:
        faults.append(f"expected only {ENTRY_POINT} to be exported, found {', '.join(npm.library.exported)}")
    if npm.platform.compressed > wheels.MOST_COMPRESSED:
        faults.append(f"{npm.platform.compressed} bytes are more than {wheels.MOST_COMPRESSED}")
    if not npm.is_stripped:
        faults.append(f"{LIBRARY} is not stripped")
    faults += wheels.glibc_faults(npm.library)
    for tarball in (npm.main, npm.platform):
        for name, content in tarball.contents.items():
            faults += [f"{name} has the path {path}" for path in wheels.host_paths(content)]
    if faults:
        raise wheels.UnfitError("; ".join(faults))


def needed_peers(manifest: dict[str, Any]) -> list[str]:
    """Peers that npm would install; the others are used where a program has them."""
    optional = manifest.get("peerDependenciesMeta", {})
    return [name for name in manifest.get("peerDependencies", {}) if not optional.get(name, {}).get("optional")]
