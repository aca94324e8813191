"""An application that writes down what it handled before it says so; some events fail the first time."""

import sys
from pathlib import Path

from flask import Flask, request

port, ledger = sys.argv[1:]
app = Flask(__name__)
failed: set[str] = set()


@app.post("/checkout")
def on_checkout() -> tuple[str, int]:
    text = request.get_data(as_text=True)
    if int(text) % 50 == 7 and text not in failed:
        failed.add(text)
        return "not now", 500
    with Path(ledger).open("a") as file:
        file.write(f"{text}\n")
    return "", 200


app.run(port=int(port))
