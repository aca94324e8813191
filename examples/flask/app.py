"""A site that sends orders to a binding, and handles them in the same process: python app.py, or gunicorn app:app"""

from __future__ import annotations

import os
import time
from typing import Any

from flask import Flask, request
from flask.typing import ResponseReturnValue

from bindwright import BindwrightError, Client, Event

app = Flask(__name__)


def start() -> None:
    """Begin to handle orders. In the process that serves: a client cannot be taken along into a fork."""
    client = Client()
    client.binding("orders")(on_order)
    client.start()
    app.extensions["bindwright"] = client


def stop() -> None:
    """Let handlers finish, for up to 10 s."""
    client: Client | None = app.extensions.pop("bindwright", None)
    if client is not None:
        client.close(drain=10.0)


def on_order(event: Event) -> None:  # returning settles the event, raising has it delivered again
    order: Any = event.json()
    print("Handling order", order["number"], flush=True)
    time.sleep(0.2)  # what your program does with an order
    print("Handled order", order["number"], flush=True)


@app.post("/orders")
def create_order() -> ResponseReturnValue:
    client: Client = app.extensions["bindwright"]
    reply = client.invoke_binding("orders", "create", {"number": request.get_json()["number"]})
    return reply.metadata, 202


@app.get("/ready")
def ready() -> ResponseReturnValue:
    client: Client = app.extensions["bindwright"]
    states = {component.name: component.state for component in client.components()}
    return states, 503 if {"connecting", "failed"} & set(states.values()) else 200


@app.errorhandler(BindwrightError)
def on_error(error: BindwrightError) -> ResponseReturnValue:
    # 503 tells the caller that another try can help.
    return {"code": error.code, "message": error.message}, 503 if error.retriable else 500


if __name__ == "__main__":
    start()
    try:
        app.run(port=int(os.environ.get("PORT", "5000")))
    finally:
        stop()
