//! What tools ask about components, without using them as an application does: the ground under `bindwright check`,
//! `explain`, `schema`, `types`, `doctor`, `tail` and `dlq`. Commands and servers translate what this module decides.
//!
//! What looks at documents connects to nothing. What looks at running systems blocks the calling thread, joins no group
//! that an application uses, and writes nothing but what it is asked to. Users read `docs/command.md`; tests are in
//! `tests/`.

mod check;
mod dead_letters;
mod doctor;
mod excerpt;
mod explain;
mod journal;
mod looking;
mod moment;
mod names;
mod nature;
mod patterns;
mod python;
mod rules;
mod schema;
mod settings_check;
mod step;
#[cfg(test)]
mod tests;
mod types;
mod typescript;

pub use check::{CheckOptions, Finding, Related, Report, Severity, check, check_text};
pub use dead_letters::{
    Action, DeadLetter, DeadLetterFilter, DeadLetterOrigin, DeadLetters, OffsetRange, Settled, Settling,
    Survey, Unfit,
};
pub use doctor::doctor;
pub use excerpt::Excerpt;
pub use explain::{EffectiveSetting, Explanation, Policy, Source, WaySummary, explain};
pub(crate) use journal::{Bookmark, Extent, Feed, Inspector, Journal, Keeper, Next, no_journal};
pub use journal::{Partition, Record};
pub use looking::{Look, LookFrom, LookOptions, Looker};
pub(crate) use moment::{read_http_date, show_day};
pub use moment::{read_moment, read_time_span, show_moment};
pub use names::{BindingNames, Language, TypedNames, binding_names, typed_names};
pub use nature::{Guarantee, NativeOptions, Nature};
pub use rules::{RULES, Rule};
pub use schema::{component_schema, schema};
pub(crate) use step::{Examination, Notes};
pub use step::{Step, Verdict};
