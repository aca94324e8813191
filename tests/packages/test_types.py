"""Type checkers find misspelt names of bindings with what `bindwright types` writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from completions import completions
from npm import COMPILER, NodeProject
from programs import clean_environment

if TYPE_CHECKING:
    from conftest import Installed

pytestmark = pytest.mark.timeout(240)

COMPONENTS = """
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: checkout}
spec: {type: bindings.memory, metadata: [{name: direction, value: output}]}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: orders}
spec: {type: bindings.memory, metadata: [{name: direction, value: input}]}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: records}
spec: {type: bindings.kafka, metadata: [{name: brokers, value: "localhost:9092"}, {name: authType, value: none}]}
"""

RIGHT = """
from bindwright import Client, Event, aio
from names import InputName, OutputName, typed, typed_async

client = typed(Client(resources="components"))
reply = client.invoke_binding("checkout", "create", {"orderId": 1}, timeout=5)
print(reply.metadata, client.invoke_binding("checkout", "size").json())
results = client.invoke_many("records", "create", [1, 2])
print(len(results), client.components())
name: OutputName = "records"
source: InputName = "orders"


@client.binding("orders")
def on_order(event: Event) -> None:
    print(event.data)


@client.binding("records", batch=10)
def on_records(events: list[Event]) -> None:
    print(len(events))


for event in client.events("orders"):
    event.ack()


async def main() -> None:
    async with aio.Client(resources="components") as other:
        view = typed_async(other)
        await view.invoke_binding("checkout", "create", b"")

        @view.binding("orders")
        async def handle(event: Event) -> None:
            print(event.data)

        async with view.events("orders") as events:
            async for event in events:
                event.ack()
        print(handle)
"""

# Every line that ends so is wrong.
WRONG = """
from bindwright import Client, aio
from names import InputName, OutputName, typed, typed_async

client = typed(Client())
client.invoke_binding("chekout", "create")  # wrong
client.invoke_binding("checkout", "get")  # wrong
client.invoke_binding("orders", "create")  # wrong
client.invoke_many("records", "size", [])  # wrong
client.binding("order")  # wrong
client.events("checkout")  # wrong
view = typed_async(aio.Client())
view.events("checkout")  # wrong
name: InputName = "checkout"  # wrong
other: OutputName = "orders"  # wrong
"""

RIGHT_TS = """
import { Client, type InputName, type Operation, type OutputName, Outcome } from 'bindwright'

const client = await Client.open({ resources: 'components' })
const reply = await client.invokeBinding('checkout', 'create', { orderId: 1 }, { timeoutMs: 5 })
console.log(reply.metadata, await client.invokeMany('records', 'create', [1, 2]))
client.onBinding('orders', async (event) => Outcome.emit({ binding: 'records', data: event.data }))
client.onBinding('records', async (events) => console.log(events.length), { batch: 10 })
for await (const event of client.events('orders')) {
  event.ack()
}
export const name: OutputName = 'records'
export const source: InputName = 'orders'
export const operation: Operation<'checkout'> = 'size'
"""

WRONG_TS = """
import { Client, type InputName, Outcome } from 'bindwright'
const client = await Client.open()
await client.invokeBinding('chekout', 'create') // wrong
await client.invokeBinding('checkout', 'get') // wrong
await client.invokeBinding('orders', 'create') // wrong
await client.invokeMany('records', 'size', []) // wrong
client.onBinding('order', async () => {}) // wrong
client.events('checkout') // wrong
Outcome.emit({ binding: 'chekout' }) // wrong
export const name: InputName = 'checkout' // wrong
"""


@pytest.fixture
def project(installed: Installed, tmp_path: Path) -> Path:
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "all.yaml").write_text(COMPONENTS)
    for language, file in (("python", "names.py"), ("typescript", "names.d.ts")):
        installed.run(
            installed.command, "types", "--language", language, tmp_path / "components", "--out", tmp_path / file
        )
    for file, text in {"right.py": RIGHT, "wrong.py": WRONG, "right.mts": RIGHT_TS, "wrong.mts": WRONG_TS}.items():
        (tmp_path / file).write_text(text)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    return tmp_path


def marked(text: str) -> set[int]:
    return {number for number, line in enumerate(text.splitlines(), 1) if line.endswith("wrong")}


def run(project: Path, *command: str | Path) -> tuple[int, str]:
    environment = {**clean_environment(), "PATH": f"{Path(sys.executable).parent}:{clean_environment()['PATH']}"}
    result = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("checker", [["mypy", "--strict"], ["pyright"]], ids=lambda checker: checker[0])
def test_python_names_are_checked(project: Path, checker: list[str]) -> None:
    command = [sys.executable, "-m", *checker]
    code, output = run(project, *command, "right.py", "names.py")
    assert code == 0, output
    code, output = run(project, *command, "wrong.py")
    assert code == 1, output
    assert {int(line) for line in re.findall(r"wrong\.py:(\d+):.*?error", output)} == marked(WRONG), output


def test_the_module_works_at_run_time(project: Path, installed: Installed) -> None:
    program = (
        "import names; from bindwright import Client\n"
        "client = names.typed(Client(resources='components'))\n"
        "client.invoke_binding('checkout', 'create', b'1')\n"
        "print(client.invoke_binding('checkout', 'size').json())\n"
    )
    code, output = run(project, installed.python, "-c", program)
    assert (code, output.splitlines()[-1:]) == (0, ["1"]), output


# How TypeScript finds a package: as Node does, and as bundlers do.
RESOLUTIONS = {
    "node16": ["--module", "node16", "--moduleResolution", "node16"],
    "bundler": ["--module", "esnext", "--moduleResolution", "bundler"],
}
LIBRARIES = ["--noEmit", "--lib", "es2023,esnext.disposable"]


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_typescript_names_are_checked(project: Path, node_modules: Path, resolution: str) -> None:
    (project / "node_modules").symlink_to(node_modules)
    user, options = NodeProject(project), [*RESOLUTIONS[resolution], *LIBRARIES]
    assert user.compile(*options, "right.mts", "names.d.ts") == ""
    output = user.compile(*options, "wrong.mts", "names.d.ts", code=1)
    assert {int(line) for line in re.findall(r"wrong\.mts\((\d+),\d+\): error", output)} == marked(WRONG_TS), output


def test_what_typescript_users_get_wrong_is_told(project: Path, node_modules: Path) -> None:
    (project / "node_modules").symlink_to(node_modules)
    text = (Path(__file__).parent / "wrong.mts").read_text()
    (project / "wrong.mts").write_text(text)
    output = NodeProject(project).compile(*RESOLUTIONS["node16"], *LIBRARIES, "wrong.mts", code=1)
    found = {
        int(line): said for line, said in re.findall(r"^wrong\.mts\((\d+),\d+\): (error .*)", output, re.MULTILINE)
    }
    wanted = {number: line.split(" // ")[1] for number, line in enumerate(text.splitlines(), 1) if " // " in line}
    assert len(wanted) == 16
    assert found.keys() == wanted.keys(), output
    for number, words in wanted.items():
        assert words in found[number], f"line {number}: expected {words!r} in {found[number]!r}"


# An editor is asked at every bar.
EDITED = """
import { Client } from 'bindwright'
import { Sandbox } from 'bindwright/testing'
const client = await Client.open({ | })
client.|
await client.invokeBinding('checkout', 'create', 1, { | })
client.onBinding('orders', (event) => { event.| })
new Sandbox().fail('checkout', '|')
await client.invokeBinding('|', 'create')
await client.invokeBinding('checkout', '|')
client.events('|')
"""
OFFERED: list[set[str]] = [
    {"resources?", "logger?", "timeoutMs?"},
    {"invokeBinding", "invokeMany", "onBinding", "events", "run", "close"},
    {"metadata?", "signal?", "timeoutMs?"},
    {"json", "text", "data", "metadata", "ack", "retry", "drop", "deadLetter", "emit"},
    {"UNAVAILABLE", "TIMEOUT", "OUTCOME_UNKNOWN"},
]
OFFERED_EXACTLY = [{"checkout", "records"}, {"create", "size", "purge"}, {"orders", "records"}]


def test_editors_offer_what_there_is(project: Path, node_modules: Path) -> None:
    (project / "node_modules").symlink_to(node_modules)
    settings = {"strict": True, "module": "node16", "target": "es2022", "lib": ["es2023"], "types": ["node"]}
    (project / "tsconfig.json").write_text(json.dumps({"compilerOptions": settings}))
    *offered, outputs, operations, inputs = completions(COMPILER, project, EDITED)
    for wanted, found in zip(OFFERED, offered, strict=True):
        assert wanted <= found, f"{wanted - found} are missing"
    assert [outputs, operations, inputs] == OFFERED_EXACTLY
