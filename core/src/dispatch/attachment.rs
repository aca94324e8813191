//! What a subscription reads from, while components come and go.
//!
//! A subscription outlives its input: when the component's document changes, the old reading is stopped as if the
//! client was closed, and the new input is started into the same lanes' home. Handlers and iterators see only that
//! some events come a little later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Intake, Rules, SubscriptionState};
use crate::binding::{InputBinding, Reading};
use crate::error::{Error, ErrorCode, Result};
use crate::health::{Health, State};
use crate::process;

/// How long handlers may take to finish when their component changes.
const DRAIN: Duration = Duration::from_secs(10);

/// Where a subscription is to read from.
pub(crate) enum ReadFrom {
    /// This input, by these rules.
    Input(Arc<dyn InputBinding>, Rules),
    /// The component cannot be read from any more; what runs goes on.
    Refused(Error),
    /// The component is gone; it may come back.
    Removed,
}

pub(super) struct Attachment {
    process: u32,
    /// Not yet acted upon.
    wanted: Mutex<Option<ReadFrom>>,
    /// Held while a reading is stopped or started.
    current: tokio::sync::Mutex<Current>,
    view: Mutex<View>,
}

struct Current {
    input: Arc<dyn InputBinding>,
    rules: Rules,
    reading: Option<Box<dyn Reading>>,
}

/// What those who watch see beside the reading's own health.
struct View {
    since: Option<Instant>,
    /// Why it does not read from where it should.
    trouble: Option<Error>,
}

impl Attachment {
    pub(super) async fn start(
        state: &Arc<SubscriptionState>,
        input: Arc<dyn InputBinding>,
        rules: Rules,
    ) -> Result<Self> {
        let reading = Some(input.start(Intake::new(state.clone())).await?);
        Ok(Self {
            process: process::id(),
            wanted: Mutex::default(),
            current: tokio::sync::Mutex::new(Current { input, rules, reading }),
            view: Mutex::new(View { since: Some(Instant::now()), trouble: None }),
        })
    }

    /// Whether this is a child's copy of what belongs to the parent of a fork.
    pub(super) fn is_inherited(&self) -> bool {
        self.process != process::id()
    }

    pub(super) fn since(&self) -> Option<Instant> {
        self.view.lock().since
    }

    pub(super) fn health(&self) -> Health {
        if self.is_inherited() {
            let error = Error::new(ErrorCode::Forked, "the subscription belongs to the parent process");
            return Health { state: State::Failed, error: Some(error) };
        }
        if let Some(error) = self.view.lock().trouble.clone() {
            return Health { state: State::Degraded, error: Some(error) };
        }
        let current = self.current.try_lock();
        let health =
            current.ok().and_then(|current| current.reading.as_ref().map(|reading| reading.health()));
        health.unwrap_or(Health::of(State::Connecting))
    }

    pub(super) fn want(&self, source: ReadFrom) {
        *self.wanted.lock() = Some(source);
    }

    /// Goes over to what is wanted, unless somebody else did.
    pub(super) async fn follow(&self, state: &Arc<SubscriptionState>) {
        let mut current = self.current.lock().await;
        let Some(wanted) = self.wanted.lock().take() else { return };
        if state.has_ended() {
            return;
        }
        self.view.lock().since = None;
        if !matches!(wanted, ReadFrom::Refused(_))
            && let Err(error) = current.stop(Instant::now() + DRAIN).await
        {
            tracing::warn!(target: "bindwright", binding = &*state.binding, "exchanging the input: {error}");
        }
        if state.has_ended() {
            return;
        }
        let trouble = match wanted {
            ReadFrom::Removed => Some(
                Error::new(ErrorCode::ComponentNotFound, "removed from the resources")
                    .component(state.binding.clone())
                    .advice("Nothing is received until its document is there again."),
            ),
            ReadFrom::Input(input, rules) => current.start(state, input, rules).await.err(),
            ReadFrom::Refused(error) => Some(error),
        };
        if state.has_ended() {
            // Whoever ended it gave up waiting for this exchange.
            let _ = current.stop(Instant::now()).await;
        }
        let mut view = self.view.lock();
        view.since = Some(Instant::now());
        view.trouble = trouble;
    }

    /// Stops for good; a second call waits for the first.
    pub(super) async fn stop(&self, deadline: Instant) -> Result<()> {
        // Held while it stops, so that nobody believes it stopped before it has. An exchange has a deadline of its own.
        let exchanging = self.since().is_none();
        let mut current = if exchanging {
            let current = tokio::time::timeout_at(deadline.into(), self.current.lock()).await;
            current.map_err(|_| {
                let message = "the input was being exchanged, and its handlers did not finish in time";
                Error::new(ErrorCode::Timeout, message)
            })?
        } else {
            self.current.lock().await
        };
        current.stop(deadline).await
    }
}

impl Current {
    async fn stop(&mut self, deadline: Instant) -> Result<()> {
        let Some(mut reading) = self.reading.take() else { return Ok(()) };
        reading.stop(deadline).await
    }

    /// Starts `input`; when that cannot be, the one from before goes on.
    async fn start(
        &mut self,
        state: &Arc<SubscriptionState>,
        input: Arc<dyn InputBinding>,
        rules: Rules,
    ) -> Result<()> {
        state.set_rules(rules.clone());
        match input.start(Intake::new(state.clone())).await {
            Ok(reading) => {
                (self.input, self.rules, self.reading) = (input, rules, Some(reading));
                Ok(())
            }
            Err(error) => {
                let error = error.component(state.binding.clone());
                tracing::warn!(target: "bindwright", "the input from before goes on: {error}");
                state.set_rules(self.rules.clone());
                self.reading = Some(self.input.start(Intake::new(state.clone())).await?);
                Err(error)
            }
        }
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let inherited = self.is_inherited();
        let current = self.current.get_mut();
        let (reading, input) = (current.reading.take(), current.input.clone());
        if inherited {
            // Its threads do not exist here and its connections are the parent's: leak it.
            std::mem::forget((reading, input, self.wanted.get_mut().take()));
        } else if let Some(mut reading) = reading
            && let Ok(runtime) = crate::runtime::handle()
        {
            // Nobody is left who could settle anything: leave at once, commit what was settled.
            runtime.spawn(async move { reading.stop(Instant::now()).await });
        }
    }
}
