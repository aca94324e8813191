"""Handles the orders of the binding `checkout` until Ctrl-C."""

from __future__ import annotations

import argparse
from typing import Any

from bindwright import Client, Event


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", help="the folder with the component's YAML, else ./components")
    options = parser.parse_args()

    client = Client(resources=options.resources)

    @client.binding("checkout")
    def on_order(event: Event) -> None:  # returning settles the event, raising has it delivered again
        order: Any = event.json()
        print("Received order", order["orderId"], flush=True)

    client.run()


if __name__ == "__main__":
    main()
