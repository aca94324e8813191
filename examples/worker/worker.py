"""Runs jobs in threads until Ctrl-C or SIGTERM: python worker.py [--examples]"""

from __future__ import annotations

import sys

from jobs import EXAMPLES, run_job

from bindwright import Client

client = Client()
client.binding("jobs", workers=8)(run_job)

if "--examples" in sys.argv:
    client.invoke_many("jobs", "create", EXAMPLES)

client.run(drain=30.0)  # after a signal, jobs that were begun have 30 s to end
print("Stopped", flush=True)
