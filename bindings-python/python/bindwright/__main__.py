"""The command `bindwright`; also `python -m bindwright`."""

from __future__ import annotations

import signal
import sys

from bindwright._native import run_command


def main() -> int:
    """Run the command that the process's arguments ask for; returns the exit status."""
    # The command ends on signals itself; Python's own handler would raise afterwards, after a good end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
