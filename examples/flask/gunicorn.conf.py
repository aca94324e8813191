"""Read by gunicorn when it is started in this folder."""

from __future__ import annotations

from typing import Any

import app

wsgi_app = "app:app"
workers = 2
preload_app = True
# Longer than the drain: gunicorn kills workers that take more.
graceful_timeout = 30


def post_fork(_server: Any, _worker: Any) -> None:
    app.start()


def worker_exit(_server: Any, _worker: Any) -> None:
    app.stop()
