//! Names of bindings as a module of Python.

use std::fmt::Write as _;

use super::names::{BindingNames, inputs, outputs, quoted};

const HEAD: &str = "\
# Made by `bindwright types --language python`; do not edit, run it again instead.
# ruff: noqa
# fmt: off
# Methods of the views take less than those of the client, on purpose.
# mypy: disable-error-code=\"override, no-overload-impl\"
# pyright: reportIncompatibleMethodOverride=false, reportNoOverloadImplementation=false
\"\"\"Names of the bindings in the component documents.

`client = typed(Client(...))` is the same client with names and operations checked by mypy or pyright.
`client = typed_async(Client(...))` is that for `bindwright.aio`.
\"\"\"

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NAMES, TypeVar, cast, overload

if TYPE_CHECKING:
    from bindwright import Client, Event, Events, Reply, aio
    from bindwright.errors import BindwrightError
";

const CLIENTS: &[Class] = &[
    Class { name: "TypedClient", base: "Client", module: "", is_async: false },
    Class { name: "TypedAsyncClient", base: "aio.Client", module: "aio.", is_async: true },
];

const TAIL: &str = "
def typed(client: Client) -> TypedClient:
    \"\"\"The same client, with names and operations checked by a type checker.\"\"\"
    return cast(\"TypedClient\", client)


def typed_async(client: aio.Client) -> TypedAsyncClient:
    \"\"\"The same client, with names and operations checked by a type checker.\"\"\"
    return cast(\"TypedAsyncClient\", client)
";

/// A client with narrower types than its base.
struct Class {
    name: &'static str,
    base: &'static str,
    module: &'static str,
    is_async: bool,
}

/// The module.
pub(super) fn file(names: &[BindingNames]) -> String {
    let mut text = String::new();
    let outputs: Vec<(&str, &[&str])> = outputs(names).collect();
    let alias = |text: &mut String, name: &str, words: Vec<String>, doc: &str| {
        let value = literal(&words);
        let _ = write!(text, "\n{name} = {value}\n\"\"\"{doc}\"\"\"\n");
    };
    let all = outputs.iter().map(|(name, _)| quoted(name)).collect();
    alias(&mut text, "OutputName", all, "Bindings that send.");
    alias(&mut text, "InputName", inputs(names).map(quoted).collect(), "Bindings that receive.");
    text.push_str("\nif TYPE_CHECKING:\n");
    text.push_str("    _Handler = TypeVar(\"_Handler\", bound=Callable[[Event], object])\n");
    text.push_str("    _BatchHandler = TypeVar(\"_BatchHandler\", bound=Callable[[list[Event]], object])\n");
    text.push_str("    _Metadata = Mapping[str, str]\n    _Seconds = float | timedelta\n");
    for class in CLIENTS {
        class.write(&mut text, &outputs);
    }
    text.push('\n');
    text.push_str(TAIL);
    // Strict type checkers complain about what is imported and not used.
    let used = |name| text.contains(name).then_some(name);
    let names: Vec<&str> = ["Literal", "Never"].into_iter().filter_map(used).collect();
    format!("{}{text}", HEAD.replace("NAMES", &names.join(", ")))
}

/// `Never` is the type that no name has.
fn literal(words: &[String]) -> String {
    if words.is_empty() { "Never".to_owned() } else { format!("Literal[{}]", words.join(", ")) }
}

impl Class {
    fn write(&self, text: &mut String, outputs: &[(&str, &[&str])]) {
        let Self { name, base, .. } = self;
        let _ = write!(text, "\n    class {name}({base}):\n");
        let def = if self.is_async { "async def" } else { "def" };
        // One for each binding; without any the only one takes no name at all.
        let mut variants: Vec<(String, String)> = outputs
            .iter()
            .map(|(name, operations)| {
                let operations: Vec<String> = operations.iter().map(|one| quoted(one)).collect();
                let operation = if operations.is_empty() { "str".to_owned() } else { literal(&operations) };
                (literal(&[quoted(name)]), operation)
            })
            .collect();
        if variants.is_empty() {
            variants.push((literal(&[]), literal(&[])));
        }
        let invoke = |text: &mut String, method: &str, data: &str, metadata: &str, result: &str| {
            for (name, operation) in &variants {
                if variants.len() > 1 {
                    text.push_str("        @overload\n");
                }
                let _ = writeln!(
                    text,
                    "        {def} {method}(\n            self, name: {name}, operation: {operation}, {data},\n            \
                     metadata: {metadata} | None = None, timeout: _Seconds | None = None,\n        ) -> {result}: ..."
                );
            }
        };
        invoke(text, "invoke_binding", "data: object = b\"\"", "_Metadata", "Reply");
        let many = "_Metadata | Sequence[_Metadata | None]";
        invoke(text, "invoke_many", "payloads: Iterable[object]", many, "list[Reply | BindwrightError]");
        let workers = if self.is_async { "" } else { "workers: int | None = None, " };
        let module = self.module;
        let events = if self.is_async { format!("{module}Events") } else { "Events".to_owned() };
        let _ = write!(
            text,
            "        @overload
        def binding(self, name: InputName, *, {workers}batch: None = None) -> Callable[[_Handler], _Handler]: ...
        @overload
        def binding(self, name: InputName, *, {workers}batch: int) -> Callable[[_BatchHandler], _BatchHandler]: ...
        def events(self, name: InputName) -> {events}: ...
"
        );
    }
}
