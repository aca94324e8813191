//! How a component is: what `components()` shows and `open(wait: ready)` waits for.

use crate::error::Error;

/// How a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum State {
    /// Described, and not used yet: it is opened by the first call or subscription.
    Idle,
    /// It works.
    Ready,
    /// Opened, and the backend has not answered yet.
    Connecting,
    /// It worked, and something keeps it from working fully: the connection is lost, a breaker is open, or an event
    /// that ran out of deliveries holds its place. It mends itself, or says what to do.
    Degraded,
    /// It cannot be used: its document is wrong, or the backend refuses it or did not answer within `initTimeout`. In
    /// the latter two cases it still tries, and becomes ready when the backend lets it.
    Failed,
}

impl State {
    /// The spelling that packages show.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Ready => "ready",
            Self::Connecting => "connecting",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// A state, with the last error where there is one.
#[derive(Debug, Clone)]
pub struct Health {
    /// How it is.
    pub state: State,
    /// The last error, until it works again.
    pub error: Option<Error>,
}

impl Health {
    /// It works.
    pub const READY: Self = Self { state: State::Ready, error: None };

    /// A state without an error.
    pub const fn of(state: State) -> Self {
        Self { state, error: None }
    }

    /// The worse of two, with its error; used where one component has a sending and a receiving side.
    #[must_use]
    pub fn or_worse(self, other: Self) -> Self {
        if other.state > self.state { other } else { self }
    }
}
