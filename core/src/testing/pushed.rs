//! What becomes of the events that a test pushes.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::stage::{Stage, State};
use crate::dispatch::{Ending, Sighting, Witness};
use crate::error::{Error, ErrorCode, Result};
use crate::event::Cause;

/// How far an event is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Deliveries that a handler ended, or whose time was over. One that was taken back without that, because an
    /// earlier event failed or the client closed, does not count.
    pub deliveries: u32,
    /// How it came to its end; `None` while it has not.
    pub ending: Option<Ending>,
    /// Why the last delivery that failed did so.
    pub cause: Option<Cause>,
}

pub(super) type Pushed = Progress;

/// An event that a test pushed.
#[derive(Clone)]
pub struct PushedEvent {
    stage: Arc<Stage>,
    binding: Arc<str>,
    position: i64,
}

impl PushedEvent {
    pub(super) fn new(stage: Arc<Stage>, binding: Arc<str>, position: i64) -> Self {
        Self { stage, binding, position }
    }

    /// How far it is now.
    pub fn progress(&self) -> Progress {
        self.stage.with(false, |state| self.of(state))
    }

    fn of(&self, state: &State) -> Progress {
        state.pushed.get(&(self.binding.clone(), self.position)).cloned().unwrap_or_default()
    }

    /// Waits until it is settled, or holds its place for want of a way out. Any executor can poll it. Cancel safe.
    ///
    /// # Errors
    /// `TIMEOUT` when `timeout` is over first, telling how far it is; `CLOSED` when the sandbox ended.
    pub async fn ended(&self, timeout: Duration) -> Result<Progress> {
        self.reaches(timeout, |progress| progress.ending.is_some()).await
    }

    /// Waits until so many of its deliveries are over, for an event that is delivered again and again.
    ///
    /// # Errors
    /// As [`ended`](Self::ended); also `TIMEOUT`, at once, when it came to its end with fewer.
    pub async fn delivered(&self, deliveries: u32, timeout: Duration) -> Result<Progress> {
        let over = |progress: &Progress| progress.deliveries >= deliveries || progress.ending.is_some();
        let progress = self.reaches(timeout, over).await?;
        if progress.deliveries < deliveries {
            return Err(self.late(&self.stage.with(false, |state| self.describe(state))));
        }
        Ok(progress)
    }

    async fn reaches(&self, timeout: Duration, there: impl Fn(&Progress) -> bool) -> Result<Progress> {
        let look = |state: &State| Some(self.of(state)).filter(&there);
        let progress = self.stage.wait(timeout, look).await?;
        progress.ok_or_else(|| self.late(&self.stage.with(false, |state| self.describe(state))))
    }

    fn late(&self, how_far: &str) -> Error {
        Error::new(ErrorCode::Timeout, format!("the pushed event did not come so far in time: {how_far}"))
            .component(self.binding.clone())
            .advice("Check that a handler of this binding runs, and how it ends.")
    }

    fn describe(&self, state: &State) -> String {
        let progress = self.of(state);
        let deliveries = progress.deliveries;
        if let Some(ending) = progress.ending {
            return format!("it ended as {} after {deliveries} deliveries", ending.as_str());
        }
        if let Some(cause) = &progress.cause {
            return format!("{deliveries} deliveries failed, the last with {}: {}", cause.code, cause.text);
        }
        if deliveries > 0 {
            return format!("{deliveries} deliveries failed");
        }
        let what = if state.subscribed.contains(&self.binding) {
            "no delivery is over"
        } else {
            "nothing subscribed to the binding"
        };
        format!("{what}{}", state.unknown(&self.binding))
    }
}

impl fmt::Debug for PushedEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("PushedEvent");
        shown.field("binding", &self.binding).field("progress", &self.progress()).finish_non_exhaustive()
    }
}

/// Notes what becomes of the events of one binding. Does not keep the stage, which keeps the queue that keeps it.
pub(super) struct BindingWitness {
    stage: Weak<Stage>,
    binding: Arc<str>,
}

impl BindingWitness {
    pub(super) fn new(stage: &Arc<Stage>, binding: Arc<str>) -> Self {
        Self { stage: Arc::downgrade(stage), binding }
    }
}

impl Witness for BindingWitness {
    fn saw(&self, sightings: Vec<Sighting>) {
        let Some(stage) = self.stage.upgrade() else { return };
        stage.with(true, |state| {
            for Sighting { position, ending, cause, .. } in sightings {
                let progress = state.pushed.entry((self.binding.clone(), position)).or_default();
                let is_delivery = matches!(ending, None | Some(Ending::Ack | Ending::Drop | Ending::Emit));
                progress.deliveries += u32::from(is_delivery);
                progress.ending = ending;
                progress.cause = cause.map(|cause| *cause);
            }
        });
    }
}
