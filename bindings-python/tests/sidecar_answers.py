"""A sidecar that answers as a test says, late, too much or not at all."""

from __future__ import annotations

import contextlib
import http.server
import threading
from concurrent import futures
from typing import TYPE_CHECKING, Self

import grpc  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecars import Transport


class Answers:
    """A sidecar over gRPC or HTTP whose answer is what a test says; `None` never comes."""

    def __init__(self, transport: Transport, answer: bytes | None) -> None:
        self.called, self.ended, self._over = threading.Event(), threading.Event(), threading.Event()
        self._answer, self._stack = answer, contextlib.ExitStack()
        self.endpoint = self._stack.enter_context(
            self._http() if transport == "sidecar-http" else self._grpc()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._stack.close()

    @contextlib.contextmanager
    def _grpc(self) -> Iterator[str]:
        def invoke(_: bytes, context: grpc.ServicerContext) -> bytes:
            if not context.add_callback(self.ended.set):
                self.ended.set()
            self.called.set()
            if self._answer is None:
                self._over.wait(30)
                return b""
            length, head = len(self._answer), bytearray(b"\x0a")
            while length >= 0x80:
                head.append(length & 0x7F | 0x80)
                length >>= 7
            return bytes([*head, length]) + self._answer

        class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
            def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
                return grpc.unary_unary_rpc_method_handler(invoke)

        with futures.ThreadPoolExecutor(4) as threads:
            server = grpc.server(threads, [Handler()], options=[("grpc.max_send_message_length", -1)])
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            try:
                yield f"127.0.0.1:{port}"
            finally:
                server.stop(None).wait()

    @contextlib.contextmanager
    def _http(self) -> Iterator[str]:
        answers = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                answers.called.set()
                if answers._answer is None:
                    # Nothing comes until the connection ends.
                    if self.connection.recv(1) == b"":
                        answers.ended.set()
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("content-length", str(len(answers._answer)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(answers._answer)

            def log_message(self, *_: object) -> None:
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()
