//! How the client library, and the task that looks after it, see the cluster that a component sends to.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode;

use super::failure;
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
    /// Wakes those who wait in vain, because no token to log in with comes.
    pub(super) no_token: tokio::sync::Notify,
}

#[derive(Default)]
struct HealthState {
    /// The topic was known once.
    connected: bool,
    last_error: Option<String>,
    unreachable: bool,
    fatal: bool,
    /// Why the last producer broke.
    fatal_code: Option<RDKafkaErrorCode>,
    /// What the last look found wrong.
    trouble: Option<Error>,
    failures: BrokerFailures,
    /// Every broker refuses us, and why.
    refusal: Option<Error>,
    login: Login,
}

/// How it is with logging in, where that takes tokens.
#[derive(Default)]
enum Login {
    #[default]
    Possible,
    /// The first token is being fetched.
    Awaited,
    /// The last token did not come. The one before is still good.
    Failing(Error),
    /// There is no token.
    Refused(Error),
}

impl HealthState {
    /// A new connection cannot log in now.
    fn is_locked_out(&self) -> bool {
        matches!(self.login, Login::Awaited | Login::Refused(_))
    }
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
        let state = self.state.lock();
        match (&state.login, &state.refusal) {
            // Nobody takes a token that has expired; that no other one comes is the cause.
            (Login::Refused(error), Some(_)) => Some(error.clone()),
            (_, refusal) => refusal.clone(),
        }
    }

    /// What users see of it.
    pub(super) fn seen(&self) -> Health {
        let state = self.state.lock();
        let text = state.last_error.as_ref();
        let away = state.unreachable || (!state.connected && text.is_some());
        let denied = state.trouble.clone().filter(|trouble| trouble.code() == ErrorCode::PermissionDenied);
        let error = if let Login::Failing(error) | Login::Refused(error) = &state.login {
            Some(error.clone())
        } else if state.refusal.is_some() {
            state.refusal.clone()
        } else if denied.is_some() {
            denied
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
        let mut state = self.state.lock();
        state.fatal = false;
        // A new producer cannot connect either, and would keep what it is given to itself.
        state.unreachable |= state.is_locked_out();
    }

    /// How it is with tokens: why the last one did not come, and whether there is one that can be used.
    pub(super) fn set_tokens(&self, error: Option<Error>, usable: bool) {
        let login = match (error, usable) {
            (None, true) => Login::Possible,
            (None, false) => Login::Awaited,
            (Some(error), true) => Login::Failing(error),
            (Some(error), false) => Login::Refused(error),
        };
        let mut state = self.state.lock();
        if matches!(login, Login::Possible)
            && state.refusal.as_ref().is_some_and(|error| error.code() == ErrorCode::Unauthenticated)
        {
            // The brokers refused an older one. If they refuse this one, too, that is heard again.
            state.refusal = None;
            state.failures.clear();
            self.refused.store(false, Ordering::Release);
        }
        let refuses = matches!(login, Login::Refused(_));
        state.login = login;
        drop(state);
        if refuses {
            self.no_token.notify_waiters();
        }
        self.changed.notify_one();
    }

    /// Why nobody can log in. `None` also while the first token is awaited.
    pub(super) fn without_token(&self) -> Option<Error> {
        match &self.state.lock().login {
            Login::Refused(error) => Some(error.clone()),
            Login::Possible | Login::Awaited | Login::Failing(_) => None,
        }
    }

    pub(super) fn is_locked_out(&self) -> bool {
        self.state.lock().is_locked_out()
    }

    /// Adds the client library's own words about what is wrong, if it has any.
    pub(super) fn explain(&self, error: Error) -> Error {
        match self.state.lock().last_error.clone() {
            Some(text) => error.backend(text),
            None => error,
        }
    }

    /// What a record failed with that went down with a producer, where its cause is known.
    pub(super) fn broke_by(&self, topic: &str) -> Option<Error> {
        let code = self.state.lock().fatal_code?;
        is_denied(code).then(|| failure::denied_to_write(topic, code))
    }

    /// The producer refuses every further record.
    pub(super) fn mark_fatal(&self, code: RDKafkaErrorCode, reason: &str) {
        let reason = format!("{code}: {reason}");
        let mut state = self.state.lock();
        state.fatal = true;
        state.fatal_code = Some(code);
        if is_denied(code) {
            // An idempotent producer asks for this before it has a record.
            state
                .trouble
                .get_or_insert_with(|| failure::from_code(code, "the user may not write to any topic"));
        }
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
        // A connection that is lost now cannot be had again: what comes next stays with us, and can be refused.
        state.unreachable |= state.is_locked_out();
        drop(state);
        self.changed.notify_one();
    }
}

fn is_denied(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Kafka;
    matches!(code, Kafka::ClusterAuthorizationFailed | Kafka::TopicAuthorizationFailed)
}
