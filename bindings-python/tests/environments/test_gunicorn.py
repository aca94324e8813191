"""gunicorn with `--preload`: a client from before the fork is refused, one of the worker works and drains."""

from __future__ import annotations

import http.client
import json
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from scripts import started

from conftest import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Folder

WORKERS = 2

# A request takes a second in the worker's only thread, so requests at the same time are in several workers.
APPLICATION = """
import json, os, pathlib, time
from bindwright import Client, errors

early = Client(".")
early.invoke_binding("orders", "create", "before the fork")
own = None

def open_client():
    global own
    own = Client(".")

    @own.binding("jobs")
    def on_job(event):
        pathlib.Path(f"job-begun-{os.getpid()}").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
        pathlib.Path(f"job-done-{os.getpid()}").touch()

    own.start()

def close_client():
    own.close(drain=10)
    print("worker closed")

def application(environ, start_response):
    try:
        early.invoke_binding("orders", "create", "too early")
        told = "sent"
    except errors.BindwrightError as error:
        told = f"{type(error).__name__} {error}"
    if environ["PATH_INFO"] == "/job":
        own.invoke_binding("jobs", "create", "")
    pathlib.Path(f"request-begun-{os.getpid()}").touch()
    own.invoke_binding("slow", "create", "")
    own.invoke_binding("orders", "create", f"worker {os.getpid()}")
    body = json.dumps({"pid": os.getpid(), "early": told}).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""
SETTINGS = """
def post_worker_init(worker):
    import application
    application.open_client()

def worker_exit(server, worker):
    import application
    application.close_client()
"""


def ask(port: int, path: str) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        answer: dict[str, object] = json.loads(response.read())
        return answer
    finally:
        connection.close()


def count(folder: Path, pattern: str) -> int:
    return len(list(folder.glob(pattern)))


def test_a_preloaded_application_serves_from_its_workers_and_drains(folder: Folder) -> None:
    folder.kafka("orders")
    folder.memory("jobs")
    folder.memory("slow", delay="1s")
    path = folder.path
    (path / "application.py").write_text(APPLICATION)
    (path / "gunicorn.conf.py").write_text(SETTINGS)
    output = path / "output.txt"
    options = ("--preload", "--no-control-socket", "--workers", str(WORKERS), "--bind", "127.0.0.1:0")
    with (
        started(path, "-m", "gunicorn", *options, "application") as server,
        ThreadPoolExecutor(2 * WORKERS) as pool,
    ):

        def told(pattern: str) -> re.Match[str] | None:
            assert server.poll() is None or "term" in output.read_text(), output.read_text()
            return re.search(pattern, output.read_text())

        wait_until(lambda: told(r"Listening at: http://127\.0\.0\.1:\d+"))
        listening = told(r"Listening at: http://127\.0\.0\.1:(\d+)")
        assert listening is not None
        port = int(listening[1])

        answers = list(pool.map(lambda _: ask(port, "/"), range(WORKERS), timeout=30))
        assert len({answer["pid"] for answer in answers}) == WORKERS, answers
        for answer in answers:
            assert str(answer["early"]).startswith("ForkedError "), answer
            assert "[FORKED]" in str(answer["early"]), answer
            assert "Open a client in the child process" in str(answer["early"]), answer

        # A signal ends what is under way well: requests with their calls, and handlers.
        for file in path.glob("request-begun-*"):
            file.unlink()
        pending = [pool.submit(ask, port, "/job") for _ in range(WORKERS)]
        wait_until(lambda: count(path, "request-begun-*") == count(path, "job-begun-*") == WORKERS)
        server.send_signal(signal.SIGTERM)
        wait_until(lambda: told("Handling signal: term"))
        assert count(path, "job-done-*") == 0
        (path / "go").touch()
        assert len({request.result(timeout=20)["pid"] for request in pending}) == WORKERS
        assert server.wait(20) == 0, output.read_text()
    assert count(path, "job-done-*") == WORKERS
    assert output.read_text().count("worker closed") == WORKERS, output.read_text()
