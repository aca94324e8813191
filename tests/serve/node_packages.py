"""Node, and the packages of `javascript/` as its lock file names them."""

from __future__ import annotations

import shutil

from downloads import fetch
from sidecar import HERE
from skipping import skip

FOLDER = HERE / "javascript"


def node_with_packages() -> str:
    """The program `node`; the packages are installed on first use, and when the lock file changed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        skip("no Node with npm")
    # What npm itself writes when it has installed everything.
    installed, lock = FOLDER / "node_modules" / ".package-lock.json", FOLDER / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        done = fetch([npm, "ci", "--no-audit", "--no-fund"], seconds=600, folder=FOLDER)
        if done.returncode != 0:
            skip(f"the packages of {FOLDER} cannot be had: {done.stderr[-2000:]}")
    return node
