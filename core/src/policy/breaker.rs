//! A circuit breaker: stops calls that would fail anyway, and lets a few through later to see.
//!
//! It behaves as Dapr's (sony/gobreaker). Closed: calls pass and are counted; the counters are cleared every
//! `interval`, and after each failure `trip` is asked. Open: no call passes until `timeout` is over. Half-open:
//! `max_requests` calls pass; that many successes close it, one failure opens it again. A result counts only in the
//! state that admitted the call. Every change of time comes in from outside, so that nothing here waits. What follows from
//! what is in `phases`.

mod phases;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use self::phases::{Changes, Phase, Phases};
use super::counts::BreakerUse;
use super::trip::{Counts, Trip};
use crate::error::{Error, ErrorCode};

/// What a policy says about breakers.
#[derive(Debug, Clone)]
pub(crate) struct BreakerSettings {
    /// How many calls pass half-open, and how many successes close it. At least 1, the default.
    pub(crate) max_requests: u32,
    /// How often the counters are cleared while closed. Default 0: never.
    pub(crate) interval: Duration,
    /// How long it stays open. Default 60 seconds.
    pub(crate) timeout: Duration,
    /// When it opens.
    pub(crate) trip: Trip,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            max_requests: 1,
            interval: Duration::ZERO,
            timeout: Duration::from_mins(1),
            trip: Trip::default(),
        }
    }
}

impl BreakerSettings {
    /// What the policy says, for people.
    pub(crate) fn told(&self) -> String {
        let Self { max_requests, interval, timeout, trip } = self;
        let counting = if interval.is_zero() { String::new() } else { format!(" within {interval:?}") };
        let trip = if trip.is_default() { "after 6 failures in a row" } else { "when its `trip` is true" };
        format!("opens {trip}{counting}, for {timeout:?}; {max_requests} at a time may try then")
    }
}

/// The breaker of one direction of one component.
#[derive(Debug)]
pub(crate) struct Breaker {
    component: Arc<str>,
    direction: &'static str,
    settings: BreakerSettings,
    phases: Mutex<Phases>,
}

/// How a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerState {
    /// Calls pass.
    Closed,
    /// No call passes before this.
    Open {
        /// When calls are let through again to see.
        until: Instant,
    },
    /// A few calls pass.
    HalfOpen,
}

/// Why a call does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is open until then.
    Open {
        /// When calls are let through again to see.
        until: Instant,
    },
    /// It is half-open, and as many calls as may pass are under way.
    HalfOpenFull,
}

impl Breaker {
    /// A closed one. `direction` is for messages.
    pub(crate) fn new(component: Arc<str>, direction: &'static str, settings: BreakerSettings) -> Self {
        Self { component, direction, settings, phases: Mutex::default() }
    }

    /// Asks for one call to pass. Its result is reported to the permit.
    pub(crate) fn admit(self: &Arc<Self>, now: Instant) -> Result<Permit, Refusal> {
        let mut phases = self.phases.lock();
        phases.advance(&self.settings, now);
        match phases.phase {
            Phase::Open { until } => return Err(Refusal::Open { until }),
            Phase::HalfOpen if phases.counts.requests >= self.settings.max_requests.max(1).into() => {
                return Err(Refusal::HalfOpenFull);
            }
            Phase::Closed { .. } | Phase::HalfOpen => {}
        }
        phases.counts.requests += 1;
        Ok(Permit { breaker: Arc::clone(self), generation: phases.generation, is_reported: false })
    }

    /// How it is, without changing anything.
    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match self.phases.lock().phase {
            Phase::Closed { .. } => BreakerState::Closed,
            Phase::Open { until } if now < until => BreakerState::Open { until },
            Phase::Open { .. } | Phase::HalfOpen => BreakerState::HalfOpen,
        }
    }

    /// How it is and what it did, for those who watch.
    pub(crate) fn told(&self, now: Instant) -> BreakerUse {
        let state = match self.state(now) {
            BreakerState::Closed => "closed",
            BreakerState::Open { .. } => "open",
            BreakerState::HalfOpen => "half-open",
        };
        let Changes { opened, half_opened, closed } = self.phases.lock().changes;
        BreakerUse { state, opened, half_opened, closed }
    }

    /// The error of a call that does not pass.
    pub(crate) fn error(&self, refusal: Refusal, now: Instant) -> Error {
        let message = match refusal {
            Refusal::Open { until } => {
                let left = until.saturating_duration_since(now).as_secs_f64();
                format!("the {} circuit breaker is open for another {left:.1} s", self.direction)
            }
            Refusal::HalfOpenFull => format!(
                "the {} circuit breaker is half-open, and its {} trial call(s) are under way",
                self.direction,
                self.settings.max_requests.max(1)
            ),
        };
        Error::new(ErrorCode::CircuitOpen, message).component(Arc::clone(&self.component))
    }

    fn report(&self, generation: u64, is_success: bool, now: Instant) {
        let mut phases = self.phases.lock();
        phases.advance(&self.settings, now);
        if generation != phases.generation {
            return;
        }
        let change =
            if is_success { phases.succeed(&self.settings) } else { phases.fail(&self.settings, now) };
        let Some(phase) = change else { return };
        let counts = phases.counts;
        phases.begin(phase);
        // Whoever listens to the log must not hold up other calls.
        drop(phases);
        let (component, direction) = (&*self.component, self.direction);
        if is_success {
            tracing::info!(target: "bindwright", component, direction, "the circuit breaker is closed again");
        } else {
            let Counts { requests, total_failures: failures, .. } = counts;
            let open_for = self.settings.timeout;
            tracing::warn!(
                target: "bindwright", component, direction, failures, requests, ?open_for,
                "the circuit breaker opens"
            );
        }
    }

    fn give_back(&self, generation: u64) {
        let mut phases = self.phases.lock();
        if generation == phases.generation {
            phases.counts.requests = phases.counts.requests.saturating_sub(1);
        }
    }
}

/// One call that passes. Dropped without a report, the call counts neither as a success nor as a failure.
#[derive(Debug)]
#[must_use]
pub(crate) struct Permit {
    breaker: Arc<Breaker>,
    generation: u64,
    is_reported: bool,
}

impl Permit {
    /// Reports how the call ended. Faults of the caller, and calls that nobody waits for any more, say nothing about
    /// the backend: they count as if the call had not been.
    pub(crate) fn report(self, error: Option<&Error>, now: Instant) {
        match error.map(Error::code) {
            None => self.success(now),
            Some(
                ErrorCode::InvalidOptions
                | ErrorCode::InvalidManifest
                | ErrorCode::InvalidSettings
                | ErrorCode::InvalidRequest
                | ErrorCode::UnsupportedDirection
                | ErrorCode::UnsupportedOperation
                | ErrorCode::PayloadTooLarge
                | ErrorCode::CircuitOpen
                | ErrorCode::Cancelled
                | ErrorCode::Closed
                | ErrorCode::Forked,
            ) => drop(self),
            Some(_) => self.failure(now),
        }
    }

    /// The call succeeded.
    pub(crate) fn success(mut self, now: Instant) {
        self.is_reported = true;
        self.breaker.report(self.generation, true, now);
    }

    /// The call failed.
    pub(crate) fn failure(mut self, now: Instant) {
        self.is_reported = true;
        self.breaker.report(self.generation, false, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_reported {
            self.breaker.give_back(self.generation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(settings: BreakerSettings) -> Arc<Breaker> {
        Arc::new(Breaker::new("a".into(), "outbound", settings))
    }

    /// Opens after two failures in a row.
    fn brittle() -> BreakerSettings {
        let trip = Trip::parse("consecutiveFailures > 1").expect("an expression").0;
        BreakerSettings { trip, ..BreakerSettings::default() }
    }

    fn pass(breaker: &Arc<Breaker>, now: Instant) -> Permit {
        breaker.admit(now).expect("it passes")
    }

    fn fail(breaker: &Arc<Breaker>, times: usize, now: Instant) {
        for _ in 0..times {
            pass(breaker, now).failure(now);
        }
    }

    #[test]
    fn six_failures_in_a_row_open_it_for_a_minute() {
        let (breaker, start) = (breaker(BreakerSettings::default()), Instant::now());
        fail(&breaker, 5, start);
        pass(&breaker, start).success(start);
        fail(&breaker, 5, start);
        assert_eq!(breaker.state(start), BreakerState::Closed);
        fail(&breaker, 1, start);
        let until = start + Duration::from_mins(1);
        assert_eq!(breaker.state(start), BreakerState::Open { until });
        let just_before = start + Duration::from_nanos(59_999_999_999);
        assert_eq!(breaker.admit(just_before).expect_err("open"), Refusal::Open { until });
        assert_eq!(breaker.state(until), BreakerState::HalfOpen);
        pass(&breaker, until).success(until);
        assert_eq!(breaker.state(until), BreakerState::Closed);
    }

    #[test]
    fn half_open_as_many_pass_as_must_succeed() {
        let (breaker, start) = (breaker(BreakerSettings { max_requests: 2, ..brittle() }), Instant::now());
        fail(&breaker, 2, start);
        let later = start + Duration::from_mins(1);
        let (first, second) = (pass(&breaker, later), pass(&breaker, later));
        assert_eq!(breaker.admit(later).expect_err("full"), Refusal::HalfOpenFull);
        first.success(later);
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        second.success(later);
        assert_eq!(breaker.state(later), BreakerState::Closed);
    }

    #[test]
    fn half_open_one_failure_opens_it_again() {
        let (breaker, start) = (breaker(BreakerSettings { max_requests: 3, ..brittle() }), Instant::now());
        fail(&breaker, 2, start);
        let later = start + Duration::from_mins(1);
        pass(&breaker, later).success(later);
        fail(&breaker, 1, later);
        assert_eq!(breaker.state(later), BreakerState::Open { until: later + Duration::from_mins(1) });
    }

    #[test]
    fn the_counters_are_cleared_at_every_interval() {
        let interval = Duration::from_secs(10);
        let (breaker, start) = (breaker(BreakerSettings { interval, ..brittle() }), Instant::now());
        fail(&breaker, 1, start);
        fail(&breaker, 1, start + interval);
        assert_eq!(breaker.state(start + interval), BreakerState::Closed);
        fail(&breaker, 1, start + interval + interval / 2);
        assert_ne!(breaker.state(start + interval + interval / 2), BreakerState::Closed);
    }

    #[test]
    fn without_an_interval_the_counters_are_never_cleared() {
        let (breaker, start) = (breaker(brittle()), Instant::now());
        fail(&breaker, 1, start);
        let much_later = start + Duration::from_hours(24);
        fail(&breaker, 1, much_later);
        assert_ne!(breaker.state(much_later), BreakerState::Closed);
    }

    #[test]
    fn a_late_result_of_an_earlier_state_does_not_count() {
        let (breaker, start) = (breaker(brittle()), Instant::now());
        let (late_failure, late_success) = (pass(&breaker, start), pass(&breaker, start));
        fail(&breaker, 2, start);
        let half_open = start + Duration::from_mins(1);
        late_success.success(half_open);
        late_failure.failure(half_open);
        assert_eq!(breaker.state(half_open), BreakerState::HalfOpen);
        pass(&breaker, half_open).success(half_open);
        assert_eq!(breaker.state(half_open), BreakerState::Closed);
    }

    #[test]
    fn a_permit_that_is_dropped_frees_its_place() {
        let (breaker, start) = (breaker(brittle()), Instant::now());
        fail(&breaker, 2, start);
        let later = start + Duration::from_mins(1);
        drop(pass(&breaker, later));
        pass(&breaker, later).report(Some(&Error::new(ErrorCode::InvalidRequest, "x")), later);
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        pass(&breaker, later).report(None, later);
        assert_eq!(breaker.state(later), BreakerState::Closed);
    }

    #[test]
    fn looking_changes_nothing() {
        let (breaker, start) = (breaker(brittle()), Instant::now());
        fail(&breaker, 2, start);
        let later = start + Duration::from_mins(1);
        assert_eq!(breaker.state(later), BreakerState::HalfOpen);
        assert!(matches!(breaker.state(start), BreakerState::Open { .. }));
    }

    #[test]
    fn the_error_tells_how_long() {
        let (breaker, now) = (breaker(brittle()), Instant::now());
        let error = breaker.error(Refusal::Open { until: now + Duration::from_millis(1500) }, now);
        assert_eq!(error.message(), "the outbound circuit breaker is open for another 1.5 s");
        assert_eq!((error.code(), error.retriable()), (ErrorCode::CircuitOpen, Some(true)));
    }
}
