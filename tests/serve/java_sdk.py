"""Fetches Dapr's SDK for Java once, and compiles the program that uses it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from downloads import fetch
from kafka_install import ServerMissing, find_java
from sidecar import HERE

FOLDER = HERE / "java"
TIMEOUT_SECONDS = 600


def command() -> list[str | Path]:
    """Runs the program of `java/`; what is missing is told by `ServerMissing`."""
    java, _ = find_java()
    compiler = Path(java).resolve().with_name("javac")
    if not compiler.is_file():
        raise ServerMissing(f"a JDK is wanted, and there is no {compiler}")
    jars = _jars()
    classes = jars.parent / f"{jars.name}-classes"
    # Compiled again each time: a second is not worth asking what changed.
    compiled = [str(compiler), "-nowarn", "-cp", f"{jars}/*", "-d", str(classes), str(FOLDER / "App.java")]
    result = subprocess.run(compiled, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    if result.returncode != 0:
        raise AssertionError(f"{FOLDER}/App.java:\n{result.stderr}")
    quick = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m")
    return [java, *quick, "-cp", f"{classes}:{jars}/*", "App"]


def _jars() -> Path:
    version = re.search(r"<dapr\.version>([^<]+)</dapr\.version>", (FOLDER / "pom.xml").read_text())
    assert version is not None, f"{FOLDER}/pom.xml does not set dapr.version"
    cache = Path.home() / ".cache" / "bindwright" / "dapr-java"
    jars = cache / version.group(1)
    if jars.is_dir():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerMissing("Maven fetches Dapr's SDK on first use, and there is no `mvn` on PATH")
    cache.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the rename is one step.
    with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as folder:
        complete = Path(folder) / "jars"
        pom = ("-f", FOLDER / "pom.xml", "dependency:copy-dependencies", f"-DoutputDirectory={complete}")
        fetched = fetch([maven, "-B", "-q", *pom], seconds=TIMEOUT_SECONDS)
        if fetched.returncode != 0:
            raise ServerMissing(f"Dapr's SDK cannot be had:\n{(fetched.stdout + fetched.stderr)[-2000:]}")
        if not jars.is_dir():
            complete.rename(jars)
    return jars
