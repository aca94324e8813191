"""The names of Dapr's Python SDK for bindings, with or without a sidecar: a program changes its imports.

| instead of | write |
|---|---|
| `from dapr.clients import DaprClient` | `from bindwright.dapr import DaprClient` |
| `from dapr.aio.clients import DaprClient` | `from bindwright.dapr.aio import DaprClient` |
| `from dapr.ext.grpc import App, BindingRequest` | `from bindwright.dapr import App, BindingRequest` |

* `DaprClient.invoke_binding` has the SDK's arguments, in its order, and answers with a `BindingResponse`.
* `App` has `@app.binding(name)`, `run` and `stop`; its handlers get a `BindingRequest`.
* Only bindings are here. Any other method of the SDK is an `AttributeError`.
* Errors are `BindwrightError`s, not `grpc.RpcError`s; see `bindwright.errors`.

Where `DAPR_GRPC_PORT` or another variable of Dapr names a sidecar, as under `dapr run`, calls and events go
through it, over gRPC; `BINDWRIGHT_TRANSPORT=embedded` keeps them in the process. Without a sidecar
components are read as `bindwright.Client` reads them: from `BINDWRIGHT_RESOURCES`, else `./components`, else
`./resources`; `APP_ID` is compared with their scopes. `DAPR_API_TIMEOUT_SECONDS` bounds calls; without it
they have 30 s.

Example:
    >>> with DaprClient() as client:
    ...     response = client.invoke_binding("checkout", "create", '{"orderId": 1}')
    ...     response.binding_metadata["offset"]
    '0'
"""

from bindwright.dapr.app import App
from bindwright.dapr.client import DaprClient
from bindwright.dapr.messages import BindingRequest, BindingResponse

__all__ = ["App", "BindingRequest", "BindingResponse", "DaprClient"]
