"""Core's log lines in `logging`: loggers, levels, and what happens at a fork and at the program's end."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import pytest

from bindwright import Client, _logs
from bindwright.errors import BindwrightError
from conftest import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Folder, Program

BINDWRIGHT = logging.getLogger("bindwright")
KAFKA = logging.getLogger("bindwright.kafka")


class Lines(logging.Handler):
    """Keeps records; does what it is told with each first."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.fails = False

    def emit(self, record: logging.LogRecord) -> None:
        self.go_on.wait(20)
        self.records.append(record)
        if self.fails:
            raise RuntimeError(record.getMessage())

    def having(self, text: str) -> list[logging.LogRecord]:
        return [record for record in self.records if text in record.getMessage()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What comes to the logger `bindwright`."""
    handler = Lines()
    BINDWRIGHT.addHandler(handler)
    yield handler
    BINDWRIGHT.removeHandler(handler)
    for logger in (BINDWRIGHT, KAFKA):
        logger.setLevel(logging.NOTSET)


def test_a_warning_comes_with_the_time_when_it_was_logged(
    folder: Folder, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    (folder.path / "broken.yaml").write_text("spec: [")
    lines.go_on.clear()
    before = time.time()
    Client(folder.path).close()
    after = time.time()
    wait_until(lambda: time.time() > after + 0.05)
    lines.go_on.set()
    wait_until(lambda: lines.having("broken.yaml"))
    [record] = lines.having("broken.yaml")
    assert (record.name, record.levelno) == ("bindwright", logging.WARNING)
    assert before <= record.created <= after
    assert record.msecs == int(record.created % 1 * 1000)
    assert record.filename.endswith(".rs")
    wait_until(lambda: record in caplog.records)
    text = logging.Formatter("%(asctime)s %(relativeCreated)d %(thread)d %(threadName)s %(message)s").format(
        record
    )
    assert text.endswith(record.getMessage())


def test_other_levels_come_when_somebody_wants_them(folder: Folder, lines: Lines) -> None:
    with Client(folder.path) as client:
        assert reloaded(folder, client, lines) == 0
        # Followed while the program runs, too.
        BINDWRIGHT.setLevel(logging.INFO)
        wait_until(lambda: reloaded(folder, client, lines) == 1)
        Client(folder.path, app_id="another").close()
        wait_until(lambda: lines.having("client opened"))
    [record] = lines.having("client opened")
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith("client opened transport=embedded ")


def reloaded(folder: Folder, client: Client, lines: Lines) -> int:
    """Change something; how many lines tell it, once a line that was logged later has come."""
    lines.records.clear()
    folder.memory("orders")
    client.reload()
    (folder.path / "broken.yaml").write_text("spec: [")
    client.reload()
    wait_until(lambda: lines.having("broken.yaml"))
    (folder.path / "broken.yaml").unlink()
    client.reload()
    return len(lines.having("resources reloaded"))


def test_a_component_has_a_logger_of_its_own(folder: Folder, lines: Lines) -> None:
    KAFKA.setLevel(logging.DEBUG)
    BINDWRIGHT.setLevel(logging.ERROR)
    folder.kafka("away", brokers="127.0.0.1:1")
    with Client(folder.path) as client:
        with pytest.raises(BindwrightError):
            client.invoke_binding("away", "create", timeout=0.5)
        wait_until(lambda: lines.records)
    assert {record.name for record in lines.records} == {"bindwright.kafka"}
    assert min(record.levelno for record in lines.records) < logging.WARNING


def test_a_receiver_whose_broker_is_away_says_so_once(folder: Folder, lines: Lines) -> None:
    BINDWRIGHT.setLevel(logging.DEBUG)
    folder.bootstrap = "127.0.0.1:1"
    topic = folder.kafka()
    with Client(folder.path) as client, client.events("orders"):
        wait_until(lambda: lines.having("the cluster is away"))
        # Two more questions to the cluster, which is still away.
        time.sleep(2.5)
    [warning] = lines.having("the cluster is away")
    assert (warning.levelno, warning.name) == (logging.WARNING, "bindwright.kafka")
    assert f"topics={topic}" in warning.getMessage()
    assert len(lines.having("records cannot be read")) < 10, "the client library repeats itself"


def test_nothing_comes_where_the_program_wants_none(folder: Folder, lines: Lines) -> None:
    (folder.path / "broken.yaml").write_text("spec: [")
    logging.disable(logging.WARNING)
    try:
        assert _logs._wanted() == logging.WARNING + 1
        Client(folder.path).close()
    finally:
        logging.disable(logging.NOTSET)
    (folder.path / "broken.yaml").rename(folder.path / "last.yaml")
    Client(folder.path, app_id="later").close()
    wait_until(lambda: lines.having("last.yaml"))
    assert not lines.having("broken.yaml")


def test_a_handler_that_fails_ends_nothing(
    folder: Folder, lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.path / "broken.yaml").write_text("spec: [")
    lines.fails = True
    for number in range(2):
        Client(folder.path, app_id=str(number)).close()
        wait_until(lambda: len(lines.having("broken.yaml")) > number)  # noqa: B023 - waited for at once
    wait_until(lambda: "RuntimeError" in capsys.readouterr().err)


def test_a_flood_of_lines_is_bounded_and_told(folder: Folder, lines: Lines) -> None:
    count = 5000
    for number in range(count):
        (folder.path / f"{number}.txt").touch()
    BINDWRIGHT.setLevel(1)
    lines.go_on.clear()
    Client(folder.path, hot_reload=False).close()
    lines.go_on.set()

    def dropped() -> int:
        return sum(int(line.getMessage().split()[0]) for line in lines.having("log records were dropped"))

    # What the thread had taken before it was held up, and what the queue holds.
    wait_until(lambda: dropped() >= count - 2 * 1024)
    assert len(lines.having("passed over")) <= 2 * 1024
    assert {line.levelno for line in lines.having("dropped")} == {logging.WARNING}


PROGRAM = """\
import logging, os, sys, threading, time
logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
from bindwright import Client, _logs
"""


def test_what_is_left_comes_at_the_end_of_the_program(program: Program) -> None:
    process = program(PROGRAM + "Client('.').close()")
    out, error = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    assert error.startswith("INFO bindwright client opened ")


def test_without_a_configuration_warnings_come_to_stderr(program: Program, folder: Folder) -> None:
    (folder.path / "broken.yaml").write_text("spec: [")
    _, error = program("from bindwright import Client\nClient('.')").communicate(timeout=20)
    assert "broken.yaml" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "end", ["", "logging.shutdown()", "sys.stderr.close()", "logging.root.handlers = [None]"]
)
def test_the_end_of_the_program_is_never_held_up(program: Program, end: str) -> None:
    process = program(f"{PROGRAM}client = Client('.')\n{end}\nclient.reload()\nprint('end')")
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "end\n")


def test_logging_that_hangs_holds_the_end_up_for_a_second_only(program: Program) -> None:
    # A filter, as a handler has a lock for which `logging` itself waits at the end.
    process = program(
        PROGRAM
        + "hang = lambda record: (print('hangs', flush=True), time.sleep(60))\n"
        + "logging.getLogger('bindwright').addFilter(hang)\n"
        "client = Client('.')\n"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs\n"
    process.wait(10)


@pytest.mark.parametrize("how", ["os._exit(0)", "sys.exit(0)"])
def test_a_forked_child_hands_on_its_own_lines(program: Program, how: str) -> None:
    # The child's lines must be out before os._exit; nothing else would wait for them.
    process = program(
        PROGRAM + "class Handler(logging.Handler):\n"
        "    def emit(self, record):\n"
        "        print(name, record.getMessage().split(' app_id=')[1].split(' ')[0], flush=True)\n"
        "        seen.set()\n"
        "name, seen = 'parent', threading.Event()\n"
        "logging.root.handlers = [Handler()]\n"
        "Client('.', app_id='one')\n"
        "assert seen.wait(10)\n"
        # At a bad moment.
        "_logs._pump._lock.acquire()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    name, seen = 'child', threading.Event()\n"
        "    Client('.', app_id='two')\n"
        "    assert seen.wait(10)\n"
        f"    {how}\n"
        "_logs._pump._lock.release()\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "Client('.', app_id='three')\n"
    )
    out, error = process.communicate(timeout=30)
    assert (out.splitlines(), error) == (["parent one", "child two", "parent three"], "")
