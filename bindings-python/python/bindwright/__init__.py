"""Bindings to outside systems, described in component YAML, inside your own process.

A folder of YAML documents describes the bindings; a program knows their names. For example
./components/checkout.yaml:

    apiVersion: dapr.io/v1alpha1
    kind: Component
    metadata:
      name: checkout
    spec:
      type: bindings.kafka
      version: v1
      metadata:
      - {name: brokers, value: "localhost:9092"}
      - {name: topics, value: orders}
      - {name: publishTopic, value: orders}
      - {name: consumerGroup, value: group1}
      - {name: authRequired, value: "false"}

The first call; it returns when the backend has confirmed it:

    from bindwright import Client

    with Client(resources="./components") as client:
        reply = client.invoke_binding("checkout", "create", {"orderId": 1})
        print(reply.metadata)

The first handler. Returning settles the event, raising has it delivered again:

    client = Client(resources="./components")

    @client.binding("checkout")
    def on_order(event):
        print(event.json())

    client.run()  # until SIGTERM or Ctrl-C; then it finishes what it has begun

What is here:

* `Client` calls bindings (`invoke_binding`, `invoke_many`) and receives events, with handlers (`binding`,
  `run`, `start`) or one by one (`events`).
* `Reply` is what a binding answered, `Event` what an input binding received.
* `Outcome` is what a handler may return to settle its event otherwise than by ack, `Emission` an invocation
  that it may ask for in one.
* Every error is a `BindwrightError`, which says whether another try can help and what to do. Most common:
  `UnavailableError` (not sent: nobody could be reached), `BindingTimeoutError` (not sent in time; it is a
  `TimeoutError`, too), `OutcomeUnknownError` (may have arrived), `InvalidRequestError`,
  `ComponentNotFoundError`. `bindwright.errors` has all of them.
* Time spans are seconds, as a number, or a `datetime.timedelta`.

What is in other modules:

* `bindwright.aio`: the same client for asyncio.
* `bindwright.errors`: one class for each error code.
* `bindwright.testing`: fakes in place of every component, for unit tests of your program.
* `bindwright.dapr`, `bindwright.dapr.aio`: the names of Dapr's Python SDK, for programs that come from there.

What a client is not told it takes from the environment:

* `BINDWRIGHT_RESOURCES`: folders or files with documents, separated as in `PATH`; else `./components`, else
  `./resources`.
* `APP_ID`: what the `scopes` of documents are compared with.
* `NAMESPACE`: documents of another namespace are passed over; also what `{namespace}` in values stands for.
* `POD_NAME`: what `{podName}` in values stands for.
* `BINDWRIGHT_HOT_RELOAD`: with `false`, changes of the documents are not followed.
* `BINDWRIGHT_TRANSPORT`: the way to the bindings, `embedded`, `sidecar-grpc` or `sidecar-http`. Without it, a
  sidecar that a variable below names, else embedded.
* `DAPR_GRPC_ENDPOINT`, `DAPR_GRPC_PORT`: where a sidecar is over gRPC; `DAPR_HTTP_ENDPOINT`,
  `DAPR_HTTP_PORT`: over HTTP.
* `DAPR_API_TOKEN`: the token that the sidecar asks for. `BINDWRIGHT_SIDECAR_CA`: whom to trust over TLS.
* `BINDWRIGHT_MAX_MESSAGE_SIZE`, `DAPR_GRPC_MAX_INBOUND_MESSAGE_SIZE_BYTES`, `DAPR_API_MAX_RETRIES`: limits of
  calls through a sidecar.
* `APP_PORT`, `APP_CHANNEL_ADDRESS`: where a sidecar delivers events. `APP_API_TOKEN`: what they must show.

Handlers that fail are logged, with their traceback, by the logger `bindwright`; so is what else goes wrong
behind the program's back. Component types have loggers of their own, such as `bindwright.kafka`. Where the
program uses OpenTelemetry, calls and handlers are spans.

The command `bindwright dev kafka` starts a Kafka broker for development; components of type `bindings.memory`
need no server at all.
"""

from bindwright._native import VERSION, Emission, Event, Events, Outcome, Reply
from bindwright.client import Client
from bindwright.components import ComponentInfo, Ledger, Reload
from bindwright.errors import BindwrightError

__all__ = [
    "BindwrightError",
    "Client",
    "ComponentInfo",
    "Emission",
    "Event",
    "Events",
    "Ledger",
    "Outcome",
    "Reload",
    "Reply",
    "__version__",
]

__version__ = VERSION
