"""A cluster of one or three Apache Kafka brokers: its settings, its processes, and when it is ready."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import kafka_wire
from kafka_install import QUIET, Installation, StartFailed, copy_storage, format_storage, install, last_lines
from ports import free_ports
from watchdog import Watchdog

START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 30.0
START_ATTEMPTS = 3


class PortTaken(StartFailed):
    """Somebody else took a port between our choice and the broker's start."""


@dataclass
class Broker:
    id: int
    port: int
    internal_port: int
    controller_port: int
    folder: Path
    extra_ports: dict[str, int]
    process: subprocess.Popen[bytes] | None = None
    paused: bool = False

    @property
    def log(self) -> Path:
        return self.folder / "broker.log"


class KafkaCluster:
    """One or three brokers, started on enter and gone on exit."""

    def __init__(
        self,
        brokers: int = 1,
        partitions: int = 3,
        properties: Mapping[str, str] | None = None,
        *,
        listeners: Mapping[str, str] | None = None,
        advertise_port: int | None = None,
        data: Path | None = None,
        fast_start: bool = False,
        jvm_options: Sequence[str] = (),
    ) -> None:
        if brokers not in (1, 3):
            raise ValueError("a cluster has 1 or 3 brokers")
        if advertise_port is not None and brokers != 1:
            raise ValueError("only a cluster of one broker can advertise another port")
        self._count = brokers
        # Further ones by name, each with its security protocol, such as {"LOCKED": "SASL_SSL"}; what it needs of
        # settings comes with the properties.
        self.listeners = dict(listeners or {})
        self._advertise_port = advertise_port
        self._fast_start = fast_start
        self._jvm_options = tuple(jvm_options)
        self._properties = _defaults(brokers, partitions) | dict(properties or {})
        self._installation: Installation | None = None
        self._watchdog: Watchdog | None = None
        self._wanted_data = data
        self.data = Path()
        self.brokers: dict[int, Broker] = {}

    def __enter__(self) -> Self:
        self._installation = install()
        self._watchdog = Watchdog()
        try:
            if self._wanted_data is None:
                self.data = Path(tempfile.mkdtemp(prefix="bindwright-kafka-"))
                self._watchdog.remove_at_end(self.data)
            else:
                self.data = self._wanted_data.resolve()
            self._start_all()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def bootstrap(self) -> str:
        """What clients connect to: behind a proxy, the proxy."""
        ports = [self._advertise_port or broker.port for broker in self.brokers.values()]
        return ",".join(f"127.0.0.1:{port}" for port in ports)

    def listener(self, name: str) -> str:
        """What clients of a further listener connect to."""
        return ",".join(f"127.0.0.1:{broker.extra_ports[name]}" for broker in self.brokers.values())

    def start(self, number: int) -> None:
        """Starts a broker again, on the same port and data, and waits until it serves."""
        broker = self._broker(number)
        if broker.process is not None:
            raise ValueError(f"broker {number} is running")
        self._spawn(broker)
        self._wait_ready()

    def kill(self, number: int) -> None:
        """SIGKILL: the broker has no chance to say goodbye."""
        broker = self._broker(number)
        self._running(broker).kill()
        self._reap(broker)

    def stop(self, number: int) -> None:
        """SIGTERM: the broker hands its partitions over and ends; returns when it has."""
        broker = self._broker(number)
        process = self._running(broker)
        process.terminate()
        if broker.paused:
            self.resume(number)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"broker {number} did not stop in {STOP_TIMEOUT_SECONDS:.0f} s") from error
        self._reap(broker)

    def pause(self, number: int) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        broker = self._broker(number)
        process = self._running(broker)
        process.send_signal(signal.SIGSTOP)
        # On a busy machine its threads go on answering for a while; this returns when all of them stand still.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        broker.paused = True

    def resume(self, number: int) -> None:
        broker = self._broker(number)
        self._running(broker).send_signal(signal.SIGCONT)
        broker.paused = False

    def create_topic(self, name: str, partitions: int) -> None:
        """Creates a topic and waits until every broker knows who leads its partitions."""
        serving = self._serving()
        if not serving:
            raise ValueError("no broker is running")
        ports = [broker.port for broker in serving]
        ids = [broker.id for broker in serving]
        kafka_wire.create_topic(ports[0], name, partitions)

        def served() -> bool:
            return all(kafka_wire.metadata(port, [name]).topic_is_served(name, ids) for port in ports)

        self._wait_until(served, f"topic {name!r} has no leaders")

    def set_password(self, user: str, password: str) -> None:
        """Makes a SCRAM user, or gives one another password; returns when the brokers know."""
        kafka_wire.set_password(self._serving()[0].port, user, password)

    def allow(self, principal: str, operation: str, resource: str, name: str) -> None:
        """Adds an access control entry. Needs an authorizer, and a super user on the CLIENT listener."""
        kafka_wire.allow(self._serving()[0].port, principal, operation, resource, name)

    def close(self) -> None:
        """Ends all brokers. They get no time to close their files: the data is thrown away, or recovers."""
        for broker in self.brokers.values():
            if broker.process is not None:
                broker.process.kill()
        for broker in self.brokers.values():
            if broker.process is not None:
                self._reap(broker)
        if self._watchdog is not None:
            # Removes the temporary folder as well.
            self._watchdog.close()
            self._watchdog = None

    def _start_all(self) -> None:
        for attempt in range(1, START_ATTEMPTS + 1):
            self._choose_ports()
            try:
                self._format()
                for broker in self.brokers.values():
                    self._spawn(broker)
                self._wait_ready()
                return
            except PortTaken:
                for broker in self.brokers.values():
                    if broker.process is not None:
                        self.kill(broker.id)
                if attempt == START_ATTEMPTS:
                    raise

    def _choose_ports(self) -> None:
        ports = free_ports((3 + len(self.listeners)) * self._count)
        self.brokers = {
            number: Broker(
                number,
                ports.pop(),
                ports.pop(),
                ports.pop(),
                self.data / f"broker-{number}",
                {name: ports.pop() for name in self.listeners},
            )
            for number in range(1, self._count + 1)
        }
        voters = ",".join(f"{broker.id}@127.0.0.1:{broker.controller_port}" for broker in self.brokers.values())
        for broker in self.brokers.values():
            broker.folder.mkdir(parents=True, exist_ok=True)
            # Only this start's lines may decide whether a port was taken.
            broker.log.unlink(missing_ok=True)
            # Brokers talk to each other past CLIENT, so that a proxy in front of it sees clients only.
            listeners = {"CLIENT": broker.port, "INTERNAL": broker.internal_port, "CONTROLLER": broker.controller_port}
            advertised = {"CLIENT": self._advertise_port or broker.port, "INTERNAL": broker.internal_port}
            protocols = dict.fromkeys(listeners, "PLAINTEXT") | self.listeners
            listeners |= broker.extra_ports
            advertised |= broker.extra_ports
            settings = {
                "process.roles": "broker,controller",
                "node.id": str(broker.id),
                "controller.quorum.voters": voters,
                "controller.listener.names": "CONTROLLER",
                "inter.broker.listener.name": "INTERNAL",
                "listener.security.protocol.map": ",".join(":".join(pair) for pair in protocols.items()),
                "listeners": _addresses(listeners),
                "advertised.listeners": _addresses(advertised),
                "log.dirs": str(broker.folder / "log"),
            }
            lines = [f"{key}={value}\n" for key, value in (settings | self._properties).items()]
            (broker.folder / "server.properties").write_text("".join(lines))

    def _format(self) -> None:
        assert self._installation is not None
        first, *others = self.brokers.values()
        if (first.folder / "log" / "meta.properties").exists():
            # Data of an earlier cluster: taken up as it is.
            return
        format_storage(self._installation, first.folder)
        for broker in others:
            copy_storage(first.folder, broker.folder, broker.id)

    def _spawn(self, broker: Broker) -> None:
        assert self._installation is not None and self._watchdog is not None
        options = [
            *("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError"),
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            *QUIET,
            *self._jvm_options,
        ]
        if self._fast_start:
            options.append("-XX:TieredStopAtLevel=1")
        command = self._installation.command(
            "kafka.Kafka", str(broker.folder / "server.properties"), options=tuple(options)
        )
        with broker.log.open("ab") as output:
            broker.process = subprocess.Popen(
                command,
                cwd=broker.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C is for us; we end the brokers.
                start_new_session=True,
            )
        broker.paused = False
        self._watchdog.watch(broker.process.pid)

    def _reap(self, broker: Broker) -> None:
        assert broker.process is not None and self._watchdog is not None
        broker.process.wait()
        self._watchdog.forget(broker.process.pid)
        broker.process = None
        broker.paused = False

    def _broker(self, number: int) -> Broker:
        if number not in self.brokers:
            raise ValueError(f"there is no broker {number}")
        return self.brokers[number]

    @staticmethod
    def _running(broker: Broker) -> subprocess.Popen[bytes]:
        if broker.process is None:
            raise ValueError(f"broker {broker.id} is not running")
        return broker.process

    def _serving(self) -> list[Broker]:
        return [broker for broker in self.brokers.values() if broker.process is not None and not broker.paused]

    def _wait_ready(self) -> None:
        """Every running broker knows all of them, and consumer groups work on every part of `__consumer_offsets`."""

        def ready() -> bool:
            serving = {broker.id: broker.port for broker in self._serving()}
            for port in serving.values():
                if not serving.keys() <= kafka_wire.metadata(port).brokers.keys():
                    return False
            groups = _one_group_per_partition(int(self._properties["offsets.topic.num.partitions"]))
            first = next(iter(serving.values()))
            for group in groups:
                kafka_wire.fetch_offsets(serving[kafka_wire.find_coordinator(first, group)], group)
            offsets = "__consumer_offsets"
            return all(
                kafka_wire.metadata(port, [offsets]).topic_is_served(offsets, serving) for port in serving.values()
            )

        self._wait_until(ready, "the cluster is not ready")

    def _wait_until(self, condition: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        reason = ""
        while True:
            self._check_alive()
            try:
                if condition():
                    return
            except (OSError, kafka_wire.KafkaError, KeyError) as error:
                # No listener yet, no coordinator yet, or one that names a broker that is down.
                reason = f": {type(error).__name__}: {error}"
            if time.monotonic() > deadline:
                logs = "\n".join(f"{broker.log}:\n{last_lines(broker.log)}" for broker in self._serving())
                raise StartFailed(f"{otherwise} after {START_TIMEOUT_SECONDS:.0f} s{reason}\n{logs}")
            time.sleep(0.05)

    def _check_alive(self) -> None:
        for broker in self._serving():
            assert broker.process is not None
            code = broker.process.poll()
            if code is None:
                continue
            self._reap(broker)
            text = f"broker {broker.id} ended with {code}; {broker.log} ends so:\n{last_lines(broker.log)}"
            if "Address already in use" in broker.log.read_text(errors="replace"):
                raise PortTaken(text)
            raise StartFailed(text)


def _defaults(brokers: int, partitions: int) -> dict[str, str]:
    copies, in_sync = (str(brokers), "2" if brokers > 1 else "1")
    return {
        "num.partitions": str(partitions),
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        # Kafka's own internal topics have 50 partitions each, which only cost time here.
        "offsets.topic.num.partitions": "5",
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "5",
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": "5",
        "group.initial.rebalance.delay.ms": "0",
        # Lets a test notice a dead consumer sooner than in 6 s.
        "group.min.session.timeout.ms": "500",
        # How long the controller waits for a dead broker: until then its partitions have no leader, and it may not come
        # back under its old number. 9 s otherwise.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # Held by every broker from its start; 128 MB otherwise.
        "log.cleaner.dedupe.buffer.size": "8388608",
    }


def _addresses(listeners: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items())


def _one_group_per_partition(partitions: int) -> str:
    """Kafka places a group by its name's Java hash, which for one letter is the letter's code: neighbours differ."""
    return "abcdefghijklmnopqrstuvwxyz"[:partitions]
