"""What a machine lacks is told on a laptop, and is a failure in CI: green means that it ran."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def skip(what: str) -> NoReturn:
    if os.environ.get("CI"):
        raise AssertionError(f"CI needs it: {what}")
    pytest.skip(what)
