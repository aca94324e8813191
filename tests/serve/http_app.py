"""An application as in Dapr's how-to: a route with the name of the binding; the second event fails the first time."""

import sys

from flask import Flask, request

app = Flask(__name__)
seen: set[str] = set()


@app.post("/checkout")
def on_checkout() -> tuple[str, int]:
    text = request.get_data(as_text=True)
    if text == "2" and text not in seen:
        seen.add(text)
        print("failed 2", flush=True)
        return "not now", 500
    print(f"received {text} {request.headers.get('colour', '')}", flush=True)
    return "", 200


app.run(port=int(sys.argv[1]))
