"""Documents change while calls and handlers run: nothing is lost, and no call fails.

In each cycle the component `orders` is rewritten to send to the other of two topics (it receives both), its file is
spoilt and mended, a component comes and goes as a file, and another one by `add_component` and `remove_component`.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import scenario
from components import PATIENT, kafka_document, write_document
from kafka import KafkaCluster
from ledger import Comparison, Figures, Handled, Sent, compare, payload
from receiving import receiving
from sending import TIMEOUT_SECONDS, Pace, Senders, wait_until, wait_while_moving
from topic_reader import read_topics

from bindwright import BindwrightError, Client

TOPICS = ("orders-a", "orders-b")
GUEST_TOPIC = "guests"
PARTITIONS = 6
MAX_UNCOMMITTED = (500, 400)
PATIENCE_SECONDS = 60.0
# What a call may be told whose component is gone.
GONE = {"COMPONENT_NOT_FOUND", "CLOSED"}


@dataclass(frozen=True)
class Plan:
    per_second: int
    cycles: int


SHORT = Plan(per_second=1_000, cycles=2)
LONG = Plan(per_second=5_000, cycles=30)


@dataclass
class Guests:
    """Calls of components that come and go; each call has a number of its own."""

    sent: Sent
    next_number: int = 0
    gone: Counter[str] = field(default_factory=Counter)

    def call(self, client: Client, name: str) -> bool:
        """Whether the component was there."""
        number = self.next_number
        self.next_number += 1
        self.sent.asked[number] = 1
        began = time.monotonic()
        try:
            reply = client.invoke_binding(name, "create", payload(number), timeout=TIMEOUT_SECONDS)
        except BindwrightError as error:
            self.gone[error.code] += 1
            return False
        self.sent.note(range(number, number + 1), [reply], time.monotonic() - began)
        return True

    def call_until_gone(self, client: Client, name: str, remove: Callable[[], object]) -> None:
        """Removes the component while it is called."""
        thread = threading.Thread(target=remove)
        self.call(client, name)
        thread.start()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.call(client, name):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is still there after {PATIENCE_SECONDS:.0f} s")
        thread.join()


@dataclass
class Load:
    """What is rewritten, and what runs meanwhile."""

    client: Client
    # The same object: these methods are not in every build, and this scenario says so instead of failing.
    adding: Any
    folder: Path
    brokers: str
    sent: Sent
    guests: Guests
    # The longest time from the file's change to the first call that shows it.
    longest_notice: float = 0.0


def measure(plan: Plan) -> Figures:
    if not hasattr(Client, "add_component"):
        raise scenario.NotInThisBuild("Client.add_component")
    # More than the cycles take: they end the load.
    sent = Sent(plan.per_second * plan.cycles * 100)
    handled = Handled(sent.total)
    guests = Guests(Sent(plan.cycles * 100_000))
    with KafkaCluster(fast_start=True, properties=PATIENT) as cluster, tempfile.TemporaryDirectory() as folder:
        for topic in (*TOPICS, GUEST_TOPIC):
            cluster.create_topic(topic, PARTITIONS)
        write_document(Path(folder), "orders", _orders(cluster.bootstrap, 0))
        with Client(folder) as client, receiving(client, "orders", handled):
            pace = Pace(sent.total, plan.per_second)
            load = Load(client, client, Path(folder), cluster.bootstrap, sent, guests)
            with Senders(client, "orders", sent, pace, lists=1, singles=2):
                wait_until(lambda: handled.distinct > 0, "the first event", PATIENCE_SECONDS)
                handled.begin()
                for number in range(1, plan.cycles + 1):
                    _cycle(load, number)
                pace.stop()
            wait_while_moving(lambda: handled.count_missing(sent))
        orders = compare(sent, read_topics(cluster.bootstrap, TOPICS, sent.total))
        others = compare(guests.sent, read_topics(cluster.bootstrap, [GUEST_TOPIC], guests.sent.total))
    return _figures(plan, load, handled, orders, others)


def _orders(brokers: str, number: int) -> str:
    """Everything about it changes: where it sends, and how it receives."""
    settings = {
        "topics": ",".join(TOPICS),
        "consumerGroup": "reload",
        "maxUncommitted": str(MAX_UNCOMMITTED[number % 2]),
        "clientID": f"bindwright-{number % 2}",
    }
    return kafka_document("orders", brokers, TOPICS[number % 2], **settings)


def _cycle(load: Load, number: int) -> None:
    changed = time.monotonic()
    write_document(load.folder, "orders", _orders(load.brokers, number))
    topic = TOPICS[number % 2]
    wait_until(lambda: load.sent.topic == topic, f"calls to {topic}", PATIENCE_SECONDS)
    load.longest_notice = max(load.longest_notice, time.monotonic() - changed)

    # As an editor writes it that does not care who reads meanwhile. The component stays what it was.
    (load.folder / "orders.yaml").write_text("apiVersion: dapr.io/v1alpha1\nkind: Component\nspec: [\n")
    wait_until(lambda: bool(load.client.faults()), "the fault is told", PATIENCE_SECONDS)
    acknowledged = load.sent.count_acknowledged()
    wait_until(lambda: load.sent.count_acknowledged() > acknowledged, "calls beside the fault", PATIENCE_SECONDS)
    write_document(load.folder, "orders", _orders(load.brokers, number))
    wait_until(lambda: not load.client.faults(), "the fault is mended", PATIENCE_SECONDS)

    write_document(load.folder, "guest", kafka_document("guest", load.brokers, GUEST_TOPIC))
    wait_until(lambda: load.guests.call(load.client, "guest"), "the new file's component", PATIENCE_SECONDS)
    load.guests.call_until_gone(load.client, "guest", (load.folder / "guest.yaml").unlink)

    load.adding.add_component(kafka_document("added", load.brokers, GUEST_TOPIC))
    if not load.guests.call(load.client, "added"):
        raise RuntimeError(f"a component that was just added is not there: {dict(load.guests.gone)}")
    load.guests.call_until_gone(load.client, "added", lambda: load.adding.remove_component("added"))


def _figures(plan: Plan, load: Load, handled: Handled, orders: Comparison, others: Comparison) -> Figures:
    sent, guests = load.sent, load.guests
    missing, repeated = handled.count_missing(sent), handled.count_repeated()
    figures = Figures(
        sent=sent.count_asked(),
        acknowledged=sent.count_acknowledged(),
        handled=handled.distinct,
        lost=orders.lost + others.lost + missing,
        duplicated=orders.duplicated + others.duplicated + repeated,
        longest_stall_ms=max(sent.longest_call, guests.sent.longest_call, handled.longest_gap) * 1000,
        special={
            "cycles": plan.cycles,
            "failed calls": dict(sent.errors),
            "calls of components that come and go": guests.next_number,
            "of them acknowledged": guests.sent.count_acknowledged(),
            "of them told that it is not there": dict(guests.gone),
            "longest gap in receiving ms": round(handled.longest_gap * 1000),
            "longest until a change was noticed ms": round(load.longest_notice * 1000),
            "handled again": repeated,
            "out of order": handled.out_of_order,
        },
    )
    figures.expect_stored(sent, orders)
    figures.expect_no_failed_call(sent)
    figures.expect_stored(guests.sent, others)
    figures.expect(guests.gone.keys() <= GONE, f"components that come and go: {dict(guests.gone)}")
    figures.expect(sent.count_asked() < sent.total, "the load ended before the changes did")
    figures.expect(missing == 0, f"{missing} events were not handled")
    figures.expect(handled.altered == 0, f"{handled.altered} events are not what was sent")
    figures.expect(handled.out_of_order == 0, f"{handled.out_of_order} events were handled out of order")
    # Only orders.yaml has an input; each time it is rewritten the old input settles what it has begun.
    bound = max(MAX_UNCOMMITTED) * PARTITIONS * len(TOPICS) * plan.cycles
    figures.expect(repeated <= bound, f"{repeated} events were handled again, more than {bound}")
    return figures


if __name__ == "__main__":
    sys.exit(scenario.main("reload", SHORT, LONG, measure))
