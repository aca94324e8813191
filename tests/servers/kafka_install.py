"""Finds Java, fetches Apache Kafka's jars once, and prepares them so that a broker starts fast."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from downloads import fetch
from ports import free_ports
from watchdog import Watchdog

POM = Path(__file__).resolve().parent / "kafka-pom.xml"
OLDEST_JAVA = 17
DOWNLOAD_TIMEOUT_SECONDS = 600
TRAINING_TIMEOUT_SECONDS = 60
# Else every start logs all 300 settings several times over.
QUIET = ("-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",)


class ServerMissing(Exception):
    """This machine lacks something the server needs. Skip on a laptop, fail where the variable CI is set."""


class StartFailed(Exception):
    """A broker ended, or did not become ready in time. The text holds the end of its log."""


@dataclass(frozen=True)
class Installation:
    java: str
    jars: Path
    class_archive: Path | None

    def command(self, main_class: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        archive = [f"-XX:SharedArchiveFile={self.class_archive}"] if self.class_archive else []
        return [self.java, *archive, *options, "-cp", f"{self.jars}/*", main_class, *arguments]


def install() -> Installation:
    """Ready to use after the first call on a machine; that one takes up to a minute."""
    java, java_version = find_java()
    version = kafka_version()
    cache = Path.home() / ".cache" / "bindwright" / "kafka"
    jars = cache / version
    # An archive fits only the JVM that wrote it.
    archive = cache / f"{version}-classes-{hashlib.sha256(java_version.encode()).hexdigest()[:12]}.jsa"
    if not (jars.is_dir() and archive.is_file()):
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / f"{version}.lock"):
            if not jars.is_dir():
                _download(jars)
            if not archive.is_file():
                _write_class_archive(java, jars, archive)
    # An empty file says that this JVM could not write one: slower, and nothing else.
    return Installation(java, jars, archive if archive.stat().st_size else None)


def kafka_version() -> str:
    found = re.search(r"<kafka\.version>([^<]+)</kafka\.version>", POM.read_text())
    if found is None:
        raise ValueError(f"{POM} does not set kafka.version")
    return found.group(1)


def find_java() -> tuple[str, str]:
    """The path of `java` and what it says about its version."""
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    wanted = f"Apache Kafka needs Java {OLDEST_JAVA} or newer"
    advice = "Install a JDK (Debian and Ubuntu: apt install openjdk-17-jdk-headless) or set JAVA_HOME to one."
    if java is None:
        raise ServerMissing(f"{wanted}, and there is no `java` on PATH. {advice}")
    try:
        text = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServerMissing(f"{wanted}, but `{java} -version` does not work: {error}. {advice}") from error
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    if found is None or int(found.group(1)) < OLDEST_JAVA:
        first_line = text.strip().split("\n")[0]
        raise ServerMissing(f"{wanted}, but {java} is: {first_line}. {advice}")
    return java, text


def _download(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerMissing(
            "Maven fetches Apache Kafka's jars on first use, and there is no `mvn` on PATH. "
            "Install it (Debian and Ubuntu: apt install maven)."
        )
    # Beside the target, so that the rename is one step: another process sees all of the jars or none.
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="download-") as folder:
        complete = Path(folder) / "jars"
        command = [maven, "-B", "-q", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={complete}"]
        result = fetch(command, seconds=DOWNLOAD_TIMEOUT_SECONDS)
        if result.returncode != 0:
            raise ServerMissing(f"Maven could not fetch Apache Kafka:\n{(result.stdout + result.stderr)[-2000:]}")
        complete.rename(jars)


def _write_class_archive(java: str, jars: Path, archive: Path) -> None:
    """Runs a broker once and keeps the classes it loaded in parsed form: later starts take half the time."""
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="training-") as folder:
        written = Path(folder) / "classes.jsa"
        _train(Installation(java, jars, None), Path(folder), written)
        if not written.is_file():
            written.touch()
        written.rename(archive)


def _train(installation: Installation, folder: Path, archive: Path) -> None:
    properties = folder / "server.properties"
    broker_port, controller_port = free_ports(2)
    properties.write_text(
        f"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:{controller_port}\n"
        f"listeners=PLAINTEXT://127.0.0.1:{broker_port},CONTROLLER://127.0.0.1:{controller_port}\n"
        "controller.listener.names=CONTROLLER\n"
        f"log.dirs={folder / 'log'}\n"
    )
    log = folder / "broker.log"
    format_storage(installation, folder)
    options = ("-Xmx256m", "-XX:+UseSerialGC", f"-XX:ArchiveClassesAtExit={archive}")
    with log.open("ab") as output:
        broker = subprocess.Popen(
            installation.command("kafka.Kafka", str(properties), options=options), stdout=output, stderr=output
        )
    watchdog = Watchdog()
    watchdog.watch(broker.pid)
    try:
        deadline = time.monotonic() + TRAINING_TIMEOUT_SECONDS
        while b"Kafka Server started" not in log.read_bytes():
            if broker.poll() is not None or time.monotonic() > deadline:
                return
            time.sleep(0.1)
        broker.terminate()
        broker.wait(TRAINING_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        watchdog.close()
        broker.wait()


def format_storage(installation: Installation, folder: Path) -> None:
    """Makes `log` in a broker's folder the first storage of a new cluster."""
    command = installation.command(
        "kafka.tools.StorageTool",
        *("format", "--config", str(folder / "server.properties"), "--cluster-id", _new_id()),
        options=("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", *QUIET),
    )
    log = folder / "broker.log"
    with log.open("ab") as output:
        result = subprocess.run(command, stdout=output, stderr=output, check=False)
    if result.returncode != 0:
        raise StartFailed(f"Kafka could not format its storage:\n{last_lines(log)}")


def copy_storage(formatted: Path, folder: Path, node: int) -> None:
    """Gives another broker what Kafka's tool would, without a JVM for it: only its own two names differ."""
    shutil.copytree(formatted / "log", folder / "log")
    properties = folder / "log" / "meta.properties"
    text = re.sub(r"(?m)^node\.id=.*$", f"node.id={node}", properties.read_text())
    properties.write_text(re.sub(r"(?m)^directory\.id=.*$", f"directory.id={_new_id()}", text))


def _new_id() -> str:
    """Kafka wants 16 bytes as base64; these 22 letters are that too, and never start with a dash."""
    return os.urandom(11).hex()


def last_lines(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
