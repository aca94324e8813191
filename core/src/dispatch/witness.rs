//! Telling somebody what becomes of single events: the test kit, and a sidecar that waits for the answer. Where nobody
//! asks nothing is noted.

use std::time::Duration;

use crate::event::Cause;

/// How an event came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ending {
    /// Handled.
    Ack,
    /// Given up on purpose.
    Drop,
    /// Sent to the `deadLetterBinding`, which confirmed it.
    DeadLetter,
    /// Handled, and every invocation that followed from it was confirmed.
    Emit,
    /// It ran out of deliveries without a `deadLetterBinding`, and holds its place: neither it nor anything after it in
    /// its partition or key comes again.
    Held,
}

impl Ending {
    /// The spelling that packages show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Drop => "drop",
            Self::DeadLetter => "dead_letter",
            Self::Emit => "emit",
            Self::Held => "held",
        }
    }
}

/// What became of a delivery, or of an event after its last delivery.
pub(crate) struct Sighting {
    pub(crate) position: i64,
    /// `None` for a delivery that failed.
    pub(crate) ending: Option<Ending>,
    /// Why the last delivery that failed did so.
    pub(crate) cause: Option<Box<Cause>>,
    /// The pause that the handler asked for.
    pub(crate) after: Option<Duration>,
}

/// Sees what becomes of a source's events, before its settler hears of it.
pub(crate) trait Witness: Send + Sync + 'static {
    /// In the order in which it came about, at least for each event.
    fn saw(&self, sightings: Vec<Sighting>);
}
