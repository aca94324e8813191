"""What an editor offers in a TypeScript program: asked from TypeScript's own language server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import IO, Any


def completions(compiler: Path, folder: Path, text: str) -> list[set[str]]:
    """The names offered at each `|` of a program, in order."""
    file = folder / "editor.mts"
    parts = text.split("|")
    file.write_text("".join(parts))
    before = ["".join(parts[: place + 1]) for place in range(len(parts) - 1)]
    command: list[str | Path] = ["node", compiler, "--lsp", "--stdio"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            ask(
                server.stdin,
                server.stdout,
                "initialize",
                {"capabilities": {}, "rootUri": folder.as_uri(), "processId": None},
            )
            send(server.stdin, {"method": "initialized", "params": {}})
            document = {"uri": file.as_uri(), "languageId": "typescript", "version": 1, "text": "".join(parts)}
            send(server.stdin, {"method": "textDocument/didOpen", "params": {"textDocument": document}})
            return [offered(server.stdin, server.stdout, file, start) for start in before]
        finally:
            server.kill()


def offered(to: IO[bytes], answers: IO[bytes], file: Path, before: str) -> set[str]:
    position = {"line": before.count("\n"), "character": len(before.rsplit("\n", 1)[-1])}
    place = {"textDocument": {"uri": file.as_uri()}, "position": position}
    answer = ask(to, answers, "textDocument/completion", place)
    items = answer["items"] if isinstance(answer, dict) else answer or []
    return {item["label"] for item in items}


def ask(to: IO[bytes], answers: IO[bytes], method: str, params: dict[str, Any]) -> Any:
    send(to, {"id": 1, "method": method, "params": params})
    while True:
        message = receive(answers)
        if "method" not in message:
            assert "error" not in message, message
            return message["result"]
        if "id" in message:
            # The server asks for settings and for leave to watch files.
            send(to, {"id": message["id"], "result": None})


def send(to: IO[bytes], message: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    to.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    to.flush()


def receive(answers: IO[bytes]) -> Any:
    length = 0
    while line := answers.readline().strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    assert length > 0, "the language server ended"
    return json.loads(answers.read(length))
