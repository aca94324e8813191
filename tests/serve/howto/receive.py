"""Events of the binding `checkout`, as a program for Dapr takes them with Flask. Its port stands in APP_PORT."""

import os

from flask import Flask, request

app = Flask(__name__)


@app.route("/checkout", methods=["POST"])
def checkout() -> tuple[str, int]:
    print("received", request.get_json(), flush=True)
    return "", 200


app.run(port=int(os.environ["APP_PORT"]))
