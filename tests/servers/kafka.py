"""Starts real Apache Kafka (KRaft, every node is broker and controller) on free ports of 127.0.0.1.

As a command, see README.md or --help. From Python:

    with KafkaCluster(brokers=3) as cluster:
        cluster.create_topic("orders", 6)
        cluster.kill(1)
        cluster.start(1)
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from kafka_cluster import KafkaCluster
from kafka_install import ServerMissing, StartFailed
from kafka_wire import KafkaError

__all__ = ["KafkaCluster", "KafkaError", "ServerMissing", "StartFailed", "shared_bootstrap"]

EXIT_FAILED = 1
EXIT_SERVER_MISSING = 3

_shared: list[KafkaCluster] = []


def shared_bootstrap() -> str:
    """For tests that leave the brokers alone: KAFKA_BROKERS, or else one cluster for the life of this process."""
    given = os.environ.get("KAFKA_BROKERS")
    if given:
        return given
    if not _shared:
        cluster = KafkaCluster().__enter__()
        atexit.register(cluster.close)
        _shared.append(cluster)
    return _shared[0].bootstrap


def main() -> int:
    parser = _parser()
    options = parser.parse_args()
    if options.advertise_port is not None and options.brokers != 1:
        parser.error("--advertise-port needs --brokers 1")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _leave)
    cluster = KafkaCluster(
        brokers=options.brokers,
        partitions=options.partitions,
        properties=dict(options.property),
        listeners=dict(options.listener),
        advertise_port=options.advertise_port,
        data=options.data,
        fast_start=options.fast_start,
        jvm_options=options.jvm_option,
    )
    try:
        with cluster:
            _say(_description(cluster))
            for line in sys.stdin:
                if line.split() == ["exit"]:
                    _say({"ok": True})
                    break
                if line.strip():
                    _say(_answer(cluster, line.split()))
    except ServerMissing as error:
        _say({"ok": False, "missing": True, "error": str(error)})
        return EXIT_SERVER_MISSING
    except StartFailed as error:
        _say({"ok": False, "missing": False, "error": str(error)})
        return EXIT_FAILED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Start Apache Kafka on free ports, print one line of JSON when it is ready, then obey lines on "
        "stdin: kill N, stop N, start N, pause N, resume N, create TOPIC PARTITIONS, password USER PASSWORD, "
        "allow PRINCIPAL OPERATION topic|group|cluster NAME, exit. Ends with stdin."
    )
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--partitions", type=int, default=3, help="of a topic that does not say (default: 3)")
    parser.add_argument(
        "--property", type=_property, action="append", default=[], metavar="K=V", help="a line of server.properties"
    )
    parser.add_argument(
        "--listener", type=_property, action="append", default=[], metavar="NAME=PROTOCOL", help="one more listener"
    )
    parser.add_argument("--advertise-port", type=int, help="one broker only: the port of the proxy clients go through")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep the data here (default: a temporary folder)")
    parser.add_argument(
        "--jvm-option", action="append", default=[], metavar="OPTION", help="of the brokers' Java, such as -Dname=value"
    )
    parser.add_argument("--fast-start", action="store_true", help="quick to start, slow under load: not for benches")
    return parser


def _property(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not key=value")
    return key, value


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    # Nothing may interrupt the cleaning up that this sets off.
    for other in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _description(cluster: KafkaCluster) -> dict[str, object]:
    brokers = [
        {"id": broker.id, "port": broker.port, "pid": broker.process.pid if broker.process else None}
        for broker in cluster.brokers.values()
    ]
    listeners = {name: cluster.listener(name) for name in cluster.listeners}
    return {"bootstrap": cluster.bootstrap, "listeners": listeners, "brokers": brokers, "data": str(cluster.data)}


def _answer(cluster: KafkaCluster, words: list[str]) -> dict[str, object]:
    """Whatever goes wrong with one command, the next one is still answered."""
    try:
        match words:
            case ["create", topic, partitions]:
                cluster.create_topic(topic, int(partitions))
            case ["kill", number]:
                cluster.kill(int(number))
            case ["stop", number]:
                cluster.stop(int(number))
            case ["start", number]:
                cluster.start(int(number))
            case ["pause", number]:
                cluster.pause(int(number))
            case ["resume", number]:
                cluster.resume(int(number))
            case ["password", user, password]:
                cluster.set_password(user, password)
            case ["allow", principal, operation, resource, name]:
                cluster.allow(principal, operation, resource, name)
            case _:
                raise ValueError(f"not a command: {' '.join(words)}")
    except (ValueError, OSError, KafkaError, StartFailed) as error:
        return {"ok": False, "error": str(error)}
    return {"ok": True} | _description(cluster)


def _say(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.exit(main())
