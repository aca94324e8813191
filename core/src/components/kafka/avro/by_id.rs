//! Schemas by their numbers, for a reader's thread, which must not wait: it looks, and is woken when there is more to
//! see. What a number means never changes, so a schema is kept for ever.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::registry::Registry;
use super::schema::Schema;
use crate::components::kafka::consumer::Status;
use crate::components::kafka::guard::log;
use crate::components::kafka::progress::Alarm;
use crate::error::{Error, ErrorCode};
use crate::policy::Backoff;

/// The pauses before a registry that did not answer is asked again.
const PAUSES: Backoff = Backoff {
    initial: Duration::from_millis(100),
    multiplier: 2.0,
    maximum: Duration::from_secs(5),
    randomization: 0.2,
    retries: None,
};
/// How often a number is asked for that the registry does not know: copies of a registry lag behind the first one.
const ASKED_FOR_UNKNOWN: u32 = 5;
/// How long a number that is unknown or of no use stays so.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// What is known of a number.
pub(super) enum Look {
    Here(Arc<Schema>),
    /// The alarm rings when it is worth another look.
    NotYet,
    /// Nothing that is read with it can be read.
    Never(Error),
}

enum State {
    Here(Arc<Schema>),
    Asked { failures: u32 },
    Failed { failures: u32, error: Error, again: Instant },
}

pub(in crate::components::kafka) struct ById {
    registry: Registry,
    runtime: Handle,
    alarm: Arc<Alarm>,
    status: Arc<Status>,
    states: Mutex<HashMap<u32, State>>,
    /// The status says that events wait for a schema.
    is_troubled: AtomicBool,
}

impl ById {
    pub(super) fn new(
        registry: Registry,
        runtime: Handle,
        alarm: Arc<Alarm>,
        status: Arc<Status>,
    ) -> Arc<Self> {
        let is_troubled = AtomicBool::new(false);
        Arc::new(Self { registry, runtime, alarm, status, states: Mutex::default(), is_troubled })
    }

    /// What is known of a number now; asks for it where that is worth it.
    pub(super) fn look(self: &Arc<Self>, id: u32) -> Look {
        let mut states = self.states.lock();
        let failures = match states.get(&id) {
            Some(State::Here(schema)) => return Look::Here(schema.clone()),
            Some(State::Asked { .. }) => return Look::NotYet,
            Some(State::Failed { failures, error, again }) => {
                let is_hopeless = is_hopeless(error, *failures);
                match (*again > Instant::now(), is_hopeless) {
                    (true, true) => return Look::Never(error.clone()),
                    (true, false) => return Look::NotYet,
                    // What comes later gets a question of its own, which one answer settles.
                    (false, true) => ASKED_FOR_UNKNOWN,
                    (false, false) => *failures,
                }
            }
            None => 0,
        };
        states.insert(id, State::Asked { failures });
        drop(states);
        let shared = self.clone();
        self.runtime.spawn(async move {
            let asked = Asked { shared: &shared, id };
            let answer = shared.registry.by_id(id).await;
            shared.settle(id, answer.map(Arc::new));
            drop(asked);
        });
        Look::NotYet
    }

    fn settle(&self, id: u32, answer: Result<Arc<Schema>, Error>) {
        let mut states = self.states.lock();
        let failures = match states.get(&id) {
            Some(State::Asked { failures }) => failures.saturating_add(1),
            _ => 1,
        };
        let state = match answer {
            Ok(schema) => State::Here(schema),
            Err(error) => {
                let pause = if is_hopeless(&error, failures) {
                    UNKNOWN_FOR
                } else {
                    self.tell_trouble(&error);
                    PAUSES.draw(failures).unwrap_or(PAUSES.maximum)
                };
                State::Failed { failures, error, again: Instant::now() + pause }
            }
        };
        states.insert(id, state);
    }

    fn tell_trouble(&self, error: &Error) {
        if !self.is_troubled.swap(true, Ordering::AcqRel) {
            log!(warn, "events wait for their schema: {error}");
        }
        self.status.set_schemas(Some(error.clone()));
    }

    /// No event waits for a schema any more.
    pub(in crate::components::kafka) fn nothing_waits(&self) {
        if self.is_troubled.swap(false, Ordering::AcqRel) {
            self.status.set_schemas(None);
            log!(info, "no event waits for its schema any more");
        }
    }
}

/// Whether asking again soon would get the same answer: then it is the record that is at fault.
fn is_hopeless(error: &Error, failures: u32) -> bool {
    match error.code() {
        ErrorCode::TargetNotFound => failures >= ASKED_FOR_UNKNOWN,
        ErrorCode::InvalidRequest => true,
        _ => false,
    }
}

/// A question under way. It ends also by a panic.
struct Asked<'a> {
    shared: &'a ById,
    id: u32,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let is_lost = matches!(self.shared.states.lock().get(&self.id), Some(State::Asked { .. }));
        if is_lost {
            self.shared.settle(self.id, Err(Error::new(ErrorCode::Internal, "asking for a schema panicked")));
        }
        self.shared.alarm.ring();
    }
}
