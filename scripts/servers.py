"""A real Kafka for trying things out, in the foreground until Ctrl-C. `--install` only fetches what it needs."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "servers"))

from kafka import KafkaCluster, ServerMissing
from kafka_install import install


def main(arguments: list[str]) -> int:
    try:
        if arguments == ["--install"]:
            install()
            return 0
        signal.signal(signal.SIGTERM, _interrupt)
        with KafkaCluster() as cluster:
            print(f"Kafka is ready on {cluster.bootstrap}")
            print(f"  for the demo and the tests: export KAFKA_BROKERS={cluster.bootstrap}")
            print("  Ctrl-C ends it and removes its data", flush=True)
            signal.pause()
    except ServerMissing as error:
        print(error, file=sys.stderr)
        # A laptop does without; in CI, green means that it ran.
        return 1 if os.environ.get("CI") or arguments != ["--install"] else 0
    except KeyboardInterrupt:
        print("stopped")
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
