"""The sender of the demo: some orders one by one, the others in lists."""

from __future__ import annotations

import sys
import time

from demo_parts import COMPONENT, PROBE, tell

from bindwright import Client

LIST = 500


def main(folder: str, count: int, singles: int) -> None:
    with Client(resources=folder) as client:
        client.invoke_binding(COMPONENT, "create", {"orderId": PROBE})
        tell(sent=0)
        sys.stdin.readline()  # the receiver is there

        invoke_ms = []
        for number in range(singles):
            began = time.monotonic_ns()
            client.invoke_binding(COMPONENT, "create", {"orderId": number, "sentNs": began})
            invoke_ms.append((time.monotonic_ns() - began) / 1e6)
            if number % 100 == 0:
                tell(sent=number)

        sent, failed, lists_ns = singles, 0, time.monotonic_ns()
        for start in range(singles, count, LIST):
            orders = [{"orderId": number} for number in range(start, min(start + LIST, count))]
            errors = [
                reply for reply in client.invoke_many(COMPONENT, "create", orders) if isinstance(reply, Exception)
            ]
            if errors:
                print(f"refused: {errors[0]}", file=sys.stderr)
            failed += len(errors)
            sent += len(orders) - len(errors)
            tell(sent=sent)
        tell(
            result={
                "sent": sent,
                "failed": failed,
                "invoke_ms": invoke_ms,
                "lists_ns": lists_ns,
                "in_lists": sent - singles,
            }
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
