"""A TCP proxy that makes the faults of a network. A program of its own: its threads and sockets are not ours.

    python proxy.py --listen PORT --to PORT

Prints a line when it listens, then obeys lines on stdin, each answered by the number of live connections:

* `latency MS`: from now on every byte comes so much later, each way.
* `reset`: every connection passes half of what comes next and is reset then (RST, on both sides).
* `half-open`: every connection that is open now stays so and swallows what is sent into it, both ways; new ones work.
* `black-out on`, `black-out off`: nothing passes, also no new connection; what was sent meanwhile comes afterwards,
  as TCP would send it again.

It ends when stdin does.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass

CHUNK_BYTES = 64 * 1024
# Chunks of one direction that may be under way.
CHUNKS_UNDER_WAY = 256
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    swallows: bool = False
    breaks: bool = False

    def reset(self) -> None:
        for writer in (self.client, self.server):
            # It may be closed already.
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()


class Proxy:
    def __init__(self, to: int) -> None:
        self._to = to
        self._latency = 0.0
        self._connections: set[Connection] = set()
        self._passing = asyncio.Event()
        self._passing.set()

    async def serve(self, listen: int) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", listen)
        print("listening", flush=True)
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            concerned = sum(1 for connection in self._connections if not connection.swallows)
            self._obey(line.decode().split())
            print(concerned, flush=True)
        server.close()

    def _obey(self, words: list[str]) -> None:
        match words:
            case ["latency", milliseconds]:
                self._latency = float(milliseconds) / 1000
            case ["reset"]:
                for connection in self._connections:
                    connection.breaks = True
            case ["half-open"]:
                for connection in self._connections:
                    connection.swallows = True
            case ["black-out", "on"]:
                self._passing.clear()
            case ["black-out", "off"]:
                self._passing.set()
            case _:
                raise SystemExit(f"not a command: {' '.join(words)}")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passing.wait()
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        connection = Connection(writer, to_writer)
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._direction(connection, reader, to_writer))
                both.create_task(self._direction(connection, to_reader, writer))
        except* OSError:
            connection.reset()
        finally:
            self._connections.discard(connection)
            for side in (writer, to_writer):
                side.close()

    async def _direction(
        self, connection: Connection, source: asyncio.StreamReader, target: asyncio.StreamWriter
    ) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_UNDER_WAY)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._pass_on(connection, under_way, target))
            data = b"begin"
            while data:
                data = await source.read(CHUNK_BYTES)
                due = asyncio.get_running_loop().time() + self._latency
                await under_way.put((due, data))

    async def _pass_on(
        self, connection: Connection, under_way: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter
    ) -> None:
        """An empty chunk is the end of the stream."""
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            await self._passing.wait()
            if not data:
                # The other side of a half-open connection does not hear that this one has gone.
                if not connection.swallows:
                    target.close()
                return
            if connection.swallows:
                continue
            if connection.breaks:
                target.write(data[: len(data) // 2])
                await target.drain()
                raise ConnectionResetError
            target.write(data)
            await target.drain()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--to", type=int, required=True)
    options = parser.parse_args()
    asyncio.run(Proxy(options.to).serve(options.listen))


if __name__ == "__main__":
    main()
