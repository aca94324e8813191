"""What pytest finds by itself where Bindwright is installed: the fixture `bindwright_sandbox`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bindwright.testing import Sandbox


@pytest.fixture
def bindwright_sandbox() -> Iterator[Sandbox]:
    """A `bindwright.testing.Sandbox` for the time of one test."""
    # Here, because most runs of pytest need none.
    from bindwright.testing import Sandbox

    with Sandbox() as sandbox:
        yield sandbox
