//! Names of bindings as a declaration file of TypeScript.

use std::fmt::Write as _;

use super::names::{BindingNames, inputs, outputs, quoted};

/// The file. It stands on its own; programs import the types, and the package `bindwright` finds the names in the
/// global interfaces.
pub(super) fn file(names: &[BindingNames]) -> String {
    let mut text = "\
// Names of the bindings in the component documents.
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
    text.push_str(
        "    }
  }
}

/** Bindings that send. */
export type OutputName = keyof Bindwright.Outputs
/** Bindings that receive. */
export type InputName = keyof Bindwright.Inputs
/** What a binding can be asked. */
export type Operation<Name extends OutputName = OutputName> = Bindwright.Outputs[Name]

/** The methods of a client that take names, for these bindings only: `const typed: TypedClient<typeof client> = client`. */
export type TypedClient<Client extends NamedMethods> = Omit<Client, keyof NamedMethods> & {
  invokeBinding<Name extends OutputName>(
    name: Name,
    operation: Operation<Name>,
    ...rest: Rest<Parameters<Client['invokeBinding']>>
  ): ReturnType<Client['invokeBinding']>
  invokeMany<Name extends OutputName>(
    name: Name,
    operation: Operation<Name>,
    ...rest: Rest<Parameters<Client['invokeMany']>>
  ): ReturnType<Client['invokeMany']>
  onBinding: ForInputs<Client['onBinding']>
  events(name: InputName, ...rest: RestOfOne<Parameters<Client['events']>>): ReturnType<Client['events']>
}

/** What a client has at least. */
export interface NamedMethods {
  invokeBinding(name: string, operation: string, ...rest: any[]): unknown
  invokeMany(name: string, operation: string, ...rest: any[]): unknown
  onBinding(name: string, ...rest: any[]): unknown
  events(name: string, ...rest: any[]): unknown
}

type Rest<All extends unknown[]> = All extends [any, any, ...infer Others] ? Others : never
type RestOfOne<All extends unknown[]> = All extends [any, ...infer Others] ? Others : never
// A method that takes a handler or, with options, another kind of handler; else one that has a single form.
type ForInputs<Method> = Method extends {
  (name: string, ...rest: infer One extends unknown[]): infer OneAnswer
  (name: string, ...rest: infer Other extends unknown[]): infer OtherAnswer
}
  ? { (name: InputName, ...rest: One): OneAnswer; (name: InputName, ...rest: Other): OtherAnswer }
  : Method extends (name: string, ...rest: infer One extends unknown[]) => infer OneAnswer
    ? (name: InputName, ...rest: One) => OneAnswer
    : never
",
    );
    text
}

fn union<'a>(words: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    let words: Vec<String> = words.map(quoted).collect();
    if words.is_empty() { otherwise.to_owned() } else { words.join(" | ") }
}
