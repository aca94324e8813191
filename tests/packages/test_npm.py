"""The npm packages in an empty folder: complete, loaded in each way, with the command; and what is said elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tarballs
import wheels
from npm import SOURCES, NodeProject
from programs import Program

if TYPE_CHECKING:
    from conftest import Installed

pytestmark = pytest.mark.timeout(240)

# Sends one order, waits until it comes back, and ends.
ROUND = """
async function round(): Promise<void> {
  await using client = await Client.open({ resources: './components' })
  const reply: Reply = await client.invokeBinding('checkout', 'create', { orderId: 7 }, { timeoutMs: 30_000 })
  console.log('Sent', reply.metadata['topic'])
  for await (const event of client.events('checkout')) {
    console.log('Received', event.json<{ orderId: number }>().orderId)
    event.ack()
    break
  }
}
round().catch((error: unknown) => {
  console.error(error instanceof BindwrightError ? error.code : error)
  process.exitCode = 1
})
"""
IMPORT = "import { BindwrightError, Client, type Reply } from 'bindwright'\n"
PLAIN = """
async function round() {
  const client = await Client.open({ resources: './components' })
  const reply = await client.invokeBinding('checkout', 'create', { orderId: 7 }, { timeoutMs: 30_000 })
  console.log('Sent', reply.metadata.topic)
  for await (const event of client.events('checkout')) {
    console.log('Received', event.json().orderId)
    event.ack()
    break
  }
  await client.close()
}
round().catch((error) => {
  console.error(error instanceof BindwrightError ? error.code : error)
  process.exitCode = 1
})
"""
COMPILED = ("--module", "node16", "--lib", "es2023,esnext.disposable")


def write(project: NodeProject, name: str, text: str) -> Path:
    file = project.folder / name
    file.write_text(text)
    return file


def test_the_packages_are_what_they_should_be(npm_packages: tuple[Path, Path]) -> None:
    main, platform = map(tarballs.read, npm_packages)
    for manifest in (main.manifest, platform.manifest):
        assert not manifest.keys() & set(tarballs.UNWANTED)
        assert tarballs.needed_peers(manifest) == []
        assert manifest["engines"] == {"node": ">=20"}
    assert main.manifest["optionalDependencies"] == {platform.manifest["name"]: main.manifest["version"]}
    assert platform.manifest["version"] == main.manifest["version"]
    assert (platform.manifest["os"], platform.manifest["cpu"], platform.manifest["libc"]) == (
        ["linux"],
        ["x64"],
        ["glibc"],
    )
    assert tarballs.PLATFORM_FILES - platform.contents.keys() <= {"THIRD-PARTY-NOTICES"}
    folders = {name.split("/")[0] for name in main.contents}
    assert folders == {"dist", "bin", *tarballs.MAIN_FILES}
    assert all(name.endswith((".js", ".mjs", ".d.ts", ".d.mts")) for name in main.contents if name.startswith("dist/"))
    assert wheels.host_paths(b"".join(main.contents.values())) == []
    assert {path.name for path in (SOURCES / "npm").iterdir()} == tarballs.PLATFORMS.keys()


def test_nothing_else_is_installed(node_modules: Path) -> None:
    lock = json.loads((node_modules.parent / "package-lock.json").read_text())
    installed = {name: package for name, package in lock["packages"].items() if name}
    assert list(installed) == ["node_modules/bindwright", "node_modules/bindwright-linux-x64-gnu"]
    assert not any("hasInstallScript" in package for package in installed.values())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("esm.mjs", "import { BindwrightError, Client } from 'bindwright'\n" + PLAIN),
        ("cjs.cjs", "const { BindwrightError, Client } = require('bindwright')\n" + PLAIN),
        ("node16.mts", IMPORT + ROUND),
        ("node16.cts", "import bindwright = require('bindwright')\n" + ROUND.replace("Client", "bindwright.Client")),
        ("bundler.mts", IMPORT + ROUND),
    ],
    ids=lambda value: value if len(value) < 20 else "",
)
def test_a_program_sends_and_receives(project: NodeProject, node_broker: str, name: str, text: str) -> None:
    topic = name.replace(".", "-")
    project.component(node_broker, topic=topic)
    text = text.replace(": Reply", ": bindwright.Reply") if name.endswith(".cts") else text
    text = text.replace("instanceof Bind", "instanceof bindwright.Bind") if name.endswith(".cts") else text
    program = write(project, name, text)
    if program.suffix in (".mts", ".cts"):
        resolution = ("--module", "esnext", "--moduleResolution", "bundler")
        options = resolution if name.startswith("bundler") else ("--module", "node16")
        assert project.compile(*options, "--lib", "es2023,esnext.disposable", name) == ""
        program = program.with_suffix(program.suffix.replace("t", "j"))
        # What it is compiled to needs no newer Node than the package does.
        assert "await using" not in program.read_text()
    assert project.run("node", program.name).splitlines() == [f"Sent {topic}", "Received 7"]


def test_the_types_are_right_for_each_way_to_import(npm_packages: tuple[Path, Path], project: NodeProject) -> None:
    attw = SOURCES / "node_modules" / "@arethetypeswrong" / "cli" / "dist" / "index.js"
    said = project.run("node", attw, npm_packages[0], "--profile", "node16", "--no-emoji", "--no-color")
    assert all(entry in said for entry in ('"bindwright"', '"bindwright/testing"', '"bindwright/dapr"')), said


def test_the_command_works(project: NodeProject, npm_packages: tuple[Path, Path]) -> None:
    version = tarballs.read(npm_packages[0]).manifest["version"]
    assert f"bindwright {version}" in project.run("npx", "bindwright", "version")
    project.component("localhost:9092")
    assert project.run("npx", "bindwright", "check", "components") == "1 component, nothing found\n"
    file = project.folder / "components" / "checkout.yaml"
    file.write_text(file.read_text().replace("publishTopic", "publishTopc"))
    said = project.run("npx", "bindwright", "check", "--strict", "components", code=1)
    assert 'did you mean "publishTopic"' in said
    assert "components/checkout.yaml:12:12" in said


def test_ctrl_c_ends_the_broker(project: NodeProject) -> None:
    with Program(["npx", "bindwright", "dev", "kafka", "--port", "0"], project.folder) as program:
        program.line("  stop")
        program.ctrl_c()
        assert program.text.endswith("stopped\n"), program.text


LOADERS = [
    ("--input-type=module", "-e", "import 'bindwright'"),
    ("-e", "require('bindwright/testing')"),
    ("node_modules/bindwright/bin/bindwright.js", "version"),
]
MUSL = "process.report.getReport = () => ({ header: {} })"
DARWIN = (
    "for (const [name, value] of [['platform', 'darwin'], ['arch', 'arm64']]) "
    "Object.defineProperty(process, name, { value })"
)


@pytest.mark.parametrize("loader", LOADERS, ids=["import", "require", "command"])
def test_an_absent_platform_package_is_told(npm_registry: str, tmp_path: Path, loader: tuple[str, ...]) -> None:
    project = NodeProject.create(tmp_path, npm_registry, "--omit=optional")
    said = project.run("node", *loader, code=1)
    assert (
        "bindwright: the native part for this machine, the package bindwright-linux-x64-gnu, is not installed." in said
    )
    assert "install again without --omit=optional" in said
    if "bin/" in loader[0]:
        assert said.count("\n") == 1, said


@pytest.mark.parametrize(
    ("options", "pretence", "name"),
    [
        (("--libc=musl",), MUSL, "linux-x64-musl"),
        (("--os=darwin", "--cpu=arm64"), DARWIN, "darwin-arm64"),
    ],
    ids=["musl", "macos"],
)
def test_other_machines_are_told_what_there_is(
    npm_registry: str, tmp_path: Path, options: tuple[str, ...], pretence: str, name: str
) -> None:
    project = NodeProject.create(tmp_path, npm_registry, *options)
    assert not (tmp_path / "node_modules" / "bindwright-linux-x64-gnu").exists()
    said = project.run("node", "--require", write(project, "pretence.cjs", pretence), *LOADERS[1], code=1)
    wanted = f"there is no native part for this machine, which would be bindwright-{name}; there is: linux-x64-gnu."
    assert wanted in said


def test_a_broken_platform_package_is_told(npm_registry: str, tmp_path: Path) -> None:
    project = NodeProject.create(tmp_path, npm_registry)
    write(project, "node_modules/bindwright-linux-x64-gnu/bindwright.node", "no library")
    said = project.run("node", *LOADERS[1], code=1)
    assert "bindwright: the native part bindwright-linux-x64-gnu is there and cannot be loaded: " in said


def test_both_packages_have_the_same_command(project: NodeProject, installed: Installed) -> None:
    python = installed.run(installed.command, "schema")
    assert project.run("npx", "bindwright", "schema") == python
