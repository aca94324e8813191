"""The Kafka of the tests, driven through its command as the Rust tests drive it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kafka_wire
import pytest
from kafka import KafkaCluster
from kafka_install import ServerMissing, find_java, install

# A cluster has 120 s to start, and some start several times.
pytestmark = pytest.mark.timeout(400)

COMMAND = Path(__file__).resolve().parent / "kafka.py"


@pytest.fixture(scope="module", autouse=True)
def _kafka_is_installed() -> None:
    try:
        install()
    except ServerMissing as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def test_a_broker_is_killed_and_comes_back_with_its_topics() -> None:
    with _server("--property", "auto.create.topics.enable=false") as server:
        ready = _read(server)
        port, first_pid = ready["brokers"][0]["port"], ready["brokers"][0]["pid"]
        assert ready["bootstrap"] == f"127.0.0.1:{port}"

        assert _say(server, "create orders 4")["ok"]
        assert _leaders(port, "orders") == [1, 1, 1, 1]
        refused = _say(server, "create orders 4")
        assert not refused["ok"]
        assert "already exists" in refused["error"]

        assert _say(server, "kill 1")["ok"]
        with pytest.raises(ConnectionRefusedError):
            kafka_wire.metadata(port)
        assert not _say(server, "kill 1")["ok"]

        again = _say(server, "start 1")
        assert again["ok"]
        assert again["bootstrap"] == ready["bootstrap"]
        assert _leaders(port, "orders") == [1, 1, 1, 1]

        assert _say(server, "pause 1")["ok"]
        assert _say(server, "resume 1")["ok"]
        assert kafka_wire.metadata(port).brokers == {1: port}
        assert not _say(server, "dance 1")["ok"]

        assert _say(server, "exit")["ok"]
        assert server.wait(10) == 0
        _assert_nothing_is_left([first_pid, again["brokers"][0]["pid"]], ready["data"])


@pytest.mark.parametrize("end", ["kill", "terminate", "close stdin"])
def test_nothing_is_left_however_the_command_ends(end: str) -> None:
    with _server() as server:
        ready = _read(server)
        if end == "kill":
            server.kill()
        elif end == "terminate":
            server.send_signal(signal.SIGTERM)
        else:
            assert server.stdin is not None
            server.stdin.close()
        server.wait(10)
        _assert_nothing_is_left([ready["brokers"][0]["pid"]], ready["data"])


def test_clients_are_sent_to_the_advertised_port_and_data_can_be_kept(tmp_path: Path) -> None:
    for _ in range(2):
        with KafkaCluster(advertise_port=9, data=tmp_path, fast_start=True) as cluster:
            assert cluster.bootstrap == "127.0.0.1:9"
            port = cluster.brokers[1].port
            assert kafka_wire.metadata(port).brokers == {1: 9}
            if not _leaders(port, "kept"):
                cluster.create_topic("kept", 2)
                continue
            assert _leaders(port, "kept") == [1, 1]
            return
    pytest.fail("the second start did not find the topic")


def test_a_machine_without_java_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerMissing, match=r"Java 17 or newer.*Install a JDK"):
        find_java()

    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ServerMissing, match=r"11\.0\.2"):
        find_java()


@contextmanager
def _server(*options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(COMMAND), "--fast-start", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server
        finally:
            server.terminate()


def _say(server: subprocess.Popen[str], line: str) -> dict[str, Any]:
    assert server.stdin is not None
    server.stdin.write(line + "\n")
    server.stdin.flush()
    return _read(server)


def _read(server: subprocess.Popen[str]) -> dict[str, Any]:
    assert server.stdout is not None
    answer: dict[str, Any] = json.loads(server.stdout.readline())
    return answer


def _leaders(port: int, topic: str) -> list[int]:
    return [partition.leader for partition in kafka_wire.metadata(port, [topic]).partitions[topic]]


def _assert_nothing_is_left(pids: list[int], data: str) -> None:
    """The watchdog works after its owner is gone, so it gets a moment."""
    deadline = time.monotonic() + 10
    while True:
        left: list[int | str] = [pid for pid in pids if _is_running(pid)]
        left += [data] if Path(data).exists() else []
        if not left:
            return
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.05)


def _is_running(pid: int) -> bool:
    """A zombie has ended: where nobody reaps orphans (many containers) it stays in the table for ever."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")
