//! What tools ask: how a component fares in its surroundings, what stands in its topics, what became of dead letters.
//!
//! Everything here blocks the calling thread, joins no group that an application uses, and writes nothing but what it
//! is asked to. The commands that show it are in `cli/`; users read `docs/command.md`.

mod dead_letters;
mod doctor;
mod journal;
mod looking;
mod moment;
mod step;

pub use dead_letters::{
    Action, DeadLetter, DeadLetterFilter, DeadLetterOrigin, DeadLetters, OffsetRange, Settled, Settling,
    Survey, Unfit,
};
pub use doctor::doctor;
pub(crate) use journal::{Bookmark, Extent, Feed, Inspector, Journal, Keeper, Next, no_journal};
pub use journal::{Partition, Record};
pub use looking::{Look, LookFrom, LookOptions, Looker};
pub(crate) use moment::{read_http_date, show_day};
pub use moment::{read_moment, read_time_span, show_moment};
pub(crate) use step::{Examination, Notes};
pub use step::{Step, Verdict};
