//! What can be said about component documents without using them: the ground under `bindwright check`, `explain`,
//! `schema`, `types` and `doctor`. Commands and servers translate what this module decides.
//!
//! Nothing here changes anything. Tests are in `tests/`.

mod check;
mod excerpt;
mod explain;
mod names;
mod nature;
mod patterns;
mod python;
mod rules;
mod schema;
mod settings_check;
#[cfg(test)]
mod tests;
mod types;
mod typescript;

pub use check::{CheckOptions, Finding, Related, Report, Severity, check, check_text};
pub use excerpt::Excerpt;
pub use explain::{EffectiveSetting, Explanation, Policy, Source, WaySummary, explain};
pub use names::{BindingNames, Language, TypedNames, binding_names, typed_names};
pub use nature::{Guarantee, NativeOptions, Nature};
pub use rules::{RULES, Rule};
pub use schema::{component_schema, schema};
