"""An application over gRPC with TLS; its certificate is nobody's."""

import sys
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
from dapr.proto import appcallback_service_v1, appcallback_v1


class Callbacks(appcallback_service_v1.AppCallbackServicer):
    def ListInputBindings(self, request: object, context: object) -> object:  # noqa: N802 (the service calls it so)
        return appcallback_v1.ListInputBindingsResponse(bindings=["checkout"])

    def OnBindingEvent(self, request: Any, context: object) -> object:  # noqa: N802
        print(f"received {request.data.decode()}", flush=True)
        return appcallback_v1.BindingEventResponse()


port, key, certificate = sys.argv[1:]
server = grpc.server(futures.ThreadPoolExecutor())
appcallback_service_v1.add_AppCallbackServicer_to_server(Callbacks(), server)  # type: ignore[no-untyped-call]
pair = (Path(key).read_bytes(), Path(certificate).read_bytes())
server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([pair]))
server.start()
server.wait_for_termination()
