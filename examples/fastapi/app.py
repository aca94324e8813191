"""An API that sends orders to a binding, and handles them in the same process: uvicorn app:app"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from bindwright import BindwrightError, Event
from bindwright.aio import Client


class Order(BaseModel):
    number: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Here, not at import: the client belongs to the process and the event loop that serve.
    async with Client() as client:  # leaving it lets handlers finish, for up to 10 s
        client.binding("orders")(on_order)
        await client.start()
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


async def on_order(event: Event) -> None:  # returning settles the event, raising has it delivered again
    order: Any = event.json()
    print("Handling order", order["number"], flush=True)
    await asyncio.sleep(0.2)  # what your program does with an order
    print("Handled order", order["number"], flush=True)


@app.post("/orders", status_code=202)
async def create_order(order: Order, request: Request) -> dict[str, str]:
    client: Client = request.app.state.client
    reply = await client.invoke_binding("orders", "create", order.model_dump())
    return reply.metadata


@app.get("/ready")
async def ready(request: Request) -> JSONResponse:
    client: Client = request.app.state.client
    states = {component.name: component.state for component in await client.components()}
    return JSONResponse(states, 503 if {"connecting", "failed"} & set(states.values()) else 200)


@app.exception_handler(BindwrightError)
async def on_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BindwrightError)
    # 503 tells the caller that another try can help.
    return JSONResponse({"code": error.code, "message": error.message}, 503 if error.retriable else 500)
