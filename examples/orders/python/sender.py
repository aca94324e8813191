"""Sends orders to the binding `checkout` until Ctrl-C."""

from __future__ import annotations

import argparse
import itertools
import logging
import random
import time

from bindwright import Client

logging.basicConfig(level=logging.INFO, format="%(message)s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", help="the folder with the component's YAML, else ./components")
    parser.add_argument("--count", type=int, help="end after this many orders")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between two orders")
    options = parser.parse_args()

    with Client(resources=options.resources) as client:
        for number in itertools.count(1):
            order_id = random.randint(1, 1000)
            client.invoke_binding("checkout", "create", {"orderId": order_id})
            logging.info("Sent order %d", order_id)
            if number == options.count:
                break
            time.sleep(options.interval)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
