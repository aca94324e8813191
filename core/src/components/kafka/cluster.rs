//! How the client library, and the task that looks after it, see the cluster that a component sends to.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

use super::refusal::{self, BrokerFailures};
use crate::error::{Error, ErrorCode};
use crate::health::{Health, State};

/// What is known of the cluster.
#[derive(Default)]
pub(super) struct ClusterHealth {
    state: Mutex<HealthState>,
    /// There is a refusal in the state: what calls look at.
    refused: AtomicBool,
    /// Woken when the state turns bad, and by whoever cannot wait for the next look.
    pub(super) changed: tokio::sync::Notify,
    /// Woken when brokers may refuse us, and the cause is to be found.
    pub(super) suspected: tokio::sync::Notify,
}

#[derive(Default)]
struct HealthState {
    /// The topic was known once.
    connected: bool,
    last_error: Option<String>,
    unreachable: bool,
    fatal: bool,
    /// What the last look found wrong.
    trouble: Option<Error>,
    failures: BrokerFailures,
    /// Every broker refuses us, and why.
    refusal: Option<Error>,
}

impl ClusterHealth {
    pub(super) fn is_reachable(&self) -> bool {
        !self.state.lock().unreachable
    }

    pub(super) fn is_fatal(&self) -> bool {
        self.state.lock().fatal
    }

    /// Why every broker refuses us, if they do.
    pub(super) fn refusal(&self) -> Option<Error> {
        if !self.refused.load(Ordering::Acquire) {
            return None;
        }
        self.state.lock().refusal.clone()
    }

    /// What users see of it.
    pub(super) fn seen(&self) -> Health {
        let state = self.state.lock();
        let text = state.last_error.as_ref();
        let away = state.unreachable || (!state.connected && text.is_some());
        let error = if state.refusal.is_some() {
            state.refusal.clone()
        } else if away {
            let error = Error::new(ErrorCode::Unavailable, "the cluster cannot be reached");
            Some(text.map_or(error.clone(), |text| error.backend(text.clone())))
        } else if state.fatal {
            let error = Error::new(ErrorCode::Backend, "the producer broke and is being replaced");
            Some(text.map_or(error.clone(), |text| error.backend(text.clone())))
        } else {
            state.trouble.clone()
        };
        let refused = error.as_ref().is_some_and(|error| refusal::is_refusal(error.code()));
        let state = match (state.connected, &error) {
            (false, _) if refused => State::Failed,
            (false, _) => State::Connecting,
            (true, Some(_)) => State::Degraded,
            (true, None) => State::Ready,
        };
        Health { state, error }
    }

    /// The cluster has answered, and the topic is there.
    pub(super) fn mark_reachable(&self) {
        let mut state = self.state.lock();
        state.connected = true;
        state.trouble = None;
        self.answered(&mut state);
    }

    /// The cluster has answered.
    pub(super) fn mark_answered(&self) {
        self.answered(&mut self.state.lock());
    }

    fn answered(&self, state: &mut HealthState) {
        state.unreachable = false;
        state.last_error = None;
        state.failures.clear();
        state.refusal = None;
        self.refused.store(false, Ordering::Release);
    }

    /// Something is wrong until the next look that finds nothing wrong.
    pub(super) fn trouble(&self, error: Error) {
        self.state.lock().trouble = Some(error);
    }

    /// Every broker refuses us, until one is of use: calls end with this, at once. `None` takes it back. `false` when
    /// it is the same as before.
    pub(super) fn refuse(&self, error: Option<Error>) -> bool {
        let mut state = self.state.lock();
        let text = |error: &Option<Error>| error.as_ref().map(ToString::to_string);
        let changed = text(&state.refusal) != text(&error);
        self.refused.store(error.is_some(), Ordering::Release);
        state.refusal = error;
        changed
    }

    /// What the client library told of brokers.
    pub(super) fn failures(&self) -> BrokerFailures {
        self.state.lock().failures.clone()
    }

    pub(super) fn replaced(&self) {
        self.state.lock().fatal = false;
    }

    /// Adds the client library's own words about what is wrong, if it has any.
    pub(super) fn explain(&self, error: Error) -> Error {
        match self.state.lock().last_error.clone() {
            Some(text) => error.backend(text),
            None => error,
        }
    }

    /// The producer refuses every further record.
    pub(super) fn mark_fatal(&self, reason: String) {
        let mut state = self.state.lock();
        state.fatal = true;
        state.last_error = Some(reason);
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn note(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        let mut state = self.state.lock();
        if state.failures.note(code, reason) {
            self.suspected.notify_one();
        }
        match code {
            // The most general of all texts must not hide the one that tells the cause.
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                state.unreachable = true;
                state.last_error.get_or_insert_with(|| reason.to_owned());
            }
            _ => state.last_error = Some(reason.to_owned()),
        }
        drop(state);
        self.changed.notify_one();
    }
}
