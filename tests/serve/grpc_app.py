"""An application with the gRPC extension of Dapr's SDK; the second event fails the first time."""

import sys

from dapr.ext.grpc import App, BindingRequest

app = App()
seen: set[str] = set()


@app.binding("checkout")  # type: ignore[untyped-decorator]
def on_checkout(request: BindingRequest) -> None:
    text = request.text()
    if text == "2" and text not in seen:
        seen.add(text)
        print("failed 2", flush=True)
        raise RuntimeError("not now")
    print(f"received {text} {dict(request.binding_metadata or {}).get('colour', '')}", flush=True)


app.run(int(sys.argv[1]))
