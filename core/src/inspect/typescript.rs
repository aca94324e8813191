//! Names of bindings as a declaration file of TypeScript.

use std::fmt::Write as _;

use super::names::{BindingNames, inputs, outputs, quoted};

/// The file. The package `bindwright` takes its names from these global interfaces, so that being part of the program is
/// all the file needs.
pub(super) fn file(names: &[BindingNames]) -> String {
    let mut text = "\
// Names of the bindings in the component documents: what `Client` of the package bindwright takes.
// Made by `bindwright types --language typescript`; do not edit, run it again instead.

declare global {
  namespace Bindwright {
    /** Bindings that send, each with what it can be asked. */
    interface Outputs {
"
    .to_owned();
    for (name, operations) in outputs(names) {
        let _ = writeln!(text, "      {}: {}", quoted(name), union(operations.iter().copied(), "string"));
    }
    text.push_str("    }\n    /** Bindings that receive. */\n    interface Inputs {\n");
    for name in inputs(names) {
        let _ = writeln!(text, "      {}: true", quoted(name));
    }
    text.push_str("    }\n  }\n}\n\nexport {}\n");
    text
}

fn union<'a>(words: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    let words: Vec<String> = words.map(quoted).collect();
    if words.is_empty() { otherwise.to_owned() } else { words.join(" | ") }
}
