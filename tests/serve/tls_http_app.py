"""An application over HTTP with TLS; its certificate is nobody's."""

import sys

from flask import Flask, request

app = Flask(__name__)


@app.post("/checkout")
def on_checkout() -> str:
    print(f"received {request.get_data(as_text=True)}", flush=True)
    return ""


port, key, certificate = sys.argv[1:]
app.run(port=int(port), ssl_context=(certificate, key))
