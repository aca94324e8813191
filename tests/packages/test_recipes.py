"""The recipes, run as a user runs them: with uvicorn, gunicorn, and as programs; asked over HTTP, ended by signals.

They run in the environment of the tests, which has the wheel and the frameworks.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from programs import Program

from bindwright import Client
from conftest import ROOT

pytestmark = pytest.mark.timeout(240)

EXAMPLES = ROOT / "examples"


def needs(*packages: str) -> None:
    """Skip on a laptop, fail where the variable CI is set."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            if os.environ.get("CI"):
                pytest.fail(f"{package} is not installed")
            pytest.skip(f"{package} is not installed")


def ask(url: str, body: object = None) -> tuple[int, Any]:
    """Status and JSON of an answer; with a body the request is a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def orders_are_handled(program: Program, url: str) -> None:
    """Sends three, and has one more begun when this returns."""
    status, metadata = ask(f"{url}/orders", {"number": 1})
    assert (status, metadata["queue"]) == (202, "orders"), program.text
    assert program.line("Handled order") == "Handled order 1"
    assert ask(f"{url}/ready") == (200, {"orders": "ready"})
    for number in (2, 3, 4):
        assert ask(f"{url}/orders", {"number": number})[0] == 202, program.text
    program.line("Handling order")


def what_was_begun_was_finished(program: Program) -> None:
    begun = set(re.findall(r"^Handling order (\d+)$", program.text, re.MULTILINE))
    finished = set(re.findall(r"^Handled order (\d+)$", program.text, re.MULTILINE))
    assert len(begun) > 1, program.text
    assert begun == finished, program.text
    assert "Traceback" not in program.text


@pytest.mark.parametrize(
    # Uvicorn ends itself once more with the signal that it got.
    ("number", "code"),
    [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)],
    ids=["SIGTERM", "SIGINT"],
)
def test_fastapi_under_uvicorn(number: signal.Signals, code: int) -> None:
    needs("fastapi", "uvicorn")
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", "0"]
    with Program(command, EXAMPLES / "fastapi") as program:
        url = program.find(r"running on (http://\S+)")
        orders_are_handled(program, url)
        assert program.end(number) == code, program.text
    what_was_begun_was_finished(program)


def test_flask_under_gunicorn() -> None:
    needs("flask", "gunicorn")
    # One worker: every worker of the example has a queue of its own.
    command = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "--workers", "1"]
    with Program(command, EXAMPLES / "flask") as program:
        url = program.find(r"Listening at: (http://\S+)")
        orders_are_handled(program, url)
        assert program.end() == 0, program.text
    what_was_begun_was_finished(program)


def test_flask_by_itself() -> None:
    needs("flask")
    with Program([sys.executable, "app.py"], EXAMPLES / "flask", PORT="0") as program:
        url = program.find(r"Running on (http://\S+)")
        orders_are_handled(program, url)
        assert program.end(signal.SIGINT) == 0, program.text
    what_was_begun_was_finished(program)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("name", ["worker.py", "async_worker.py"])
def test_worker(name: str, number: signal.Signals) -> None:
    with Program([sys.executable, name, "--examples"], EXAMPLES / "worker") as program:
        program.line("Begin greet")
        assert program.end(number) == 0, program.text
    begun, ended = (len(re.findall(f"^{word} greet$", program.text, re.MULTILINE)) for word in ("Begin", "End"))
    assert begun == ended > 0, program.text
    assert program.text.endswith("Stopped\n"), program.text


@pytest.mark.parametrize("name", ["worker.py", "async_worker.py"])
def test_worker_on_kafka(name: str, broker: str, tmp_path: Path) -> None:
    document = (EXAMPLES / "worker" / "kafka" / "jobs.yaml").read_text()
    (tmp_path / "jobs.yaml").write_text(document.replace("localhost:9092", broker))
    command = [sys.executable, name, "--examples"]
    with Program(command, EXAMPLES / "worker", BINDWRIGHT_RESOURCES=str(tmp_path)) as program:
        assert {program.line("Hello, "), program.line("Hello, ")} == {"Hello, Ada", "Hello, Grace"}
        assert program.end() == 0, program.text


def test_a_job_that_fails_is_given_up_after_three_tries(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES / "worker")
    jobs = importlib.import_module("jobs")
    with Client(resources=EXAMPLES / "worker" / "components") as client:
        client.binding("jobs")(jobs.run_job)
        client.start()
        client.invoke_many("jobs", "create", jobs.EXAMPLES)
        with client.events("failed-jobs") as events:
            given_up: list[Any] = [event.json() for event in itertools.islice(events, 2)]
    assert sorted(job["task"] for job in given_up) == ["fail", "unknown"]
    said = capsys.readouterr().out
    assert said.count("Begin fail\n") == 3, said


@pytest.mark.parametrize("name", ["fastapi", "flask", "worker"])
def test_the_documents_for_kafka_have_the_same_bindings(name: str) -> None:
    with (
        Client(resources=EXAMPLES / name / "components") as local,
        Client(resources=EXAMPLES / name / "kafka") as kafka,
    ):
        assert [one.name for one in local.components()] == [one.name for one in kafka.components()]
        assert local.faults() == kafka.faults() == []
