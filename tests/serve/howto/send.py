"""Calls the binding `checkout`, as a program for Dapr does it with requests."""

import os

import requests

url = f"http://localhost:{os.environ['DAPR_HTTP_PORT']}/v1.0/bindings/checkout"
for order_id in range(1, 4):
    response = requests.post(
        url,
        json={"data": {"orderId": order_id}, "metadata": {"partitionKey": "one"}, "operation": "create"},
        timeout=30,
    )
    print("sent", order_id, response.status_code, flush=True)
