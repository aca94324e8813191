//! The phases of a breaker, and what follows from what: from a result or from the time alone to the next phase.

use std::time::Instant;

use super::BreakerSettings;
use crate::policy::trip::Counts;

/// The phase, and what was counted in it.
#[derive(Debug, Default)]
pub(super) struct Phases {
    pub(super) phase: Phase,
    /// Counts the phases; a permit of an earlier one counts no more.
    pub(super) generation: u64,
    pub(super) counts: Counts,
    pub(super) changes: Changes,
}

/// How often it became what.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Changes {
    pub(super) opened: u64,
    pub(super) half_opened: u64,
    pub(super) closed: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    /// `None` until the first call, and where the counters are never cleared.
    Closed {
        clear_at: Option<Instant>,
    },
    Open {
        until: Instant,
    },
    HalfOpen,
}

impl Default for Phase {
    fn default() -> Self {
        Self::Closed { clear_at: None }
    }
}

impl Phases {
    /// What the time alone changes.
    pub(super) fn advance(&mut self, settings: &BreakerSettings, now: Instant) {
        match self.phase {
            Phase::Closed { clear_at: None } if !settings.interval.is_zero() => {
                self.phase = Phase::Closed { clear_at: now.checked_add(settings.interval) };
            }
            Phase::Closed { clear_at: Some(at) } if now >= at => {
                self.begin(Phase::Closed { clear_at: now.checked_add(settings.interval) });
            }
            Phase::Open { until } if now >= until => self.begin(Phase::HalfOpen),
            Phase::Closed { .. } | Phase::Open { .. } | Phase::HalfOpen => {}
        }
    }

    /// Counts a success, and says which phase it begins.
    pub(super) fn succeed(&mut self, settings: &BreakerSettings) -> Option<Phase> {
        self.counts.total_successes += 1;
        self.counts.consecutive_successes += 1;
        self.counts.consecutive_failures = 0;
        let closes = matches!(self.phase, Phase::HalfOpen)
            && self.counts.consecutive_successes >= settings.max_requests.max(1).into();
        closes.then_some(Phase::Closed { clear_at: None })
    }

    /// Counts a failure, and says which phase it begins.
    pub(super) fn fail(&mut self, settings: &BreakerSettings, now: Instant) -> Option<Phase> {
        self.counts.total_failures += 1;
        self.counts.consecutive_failures += 1;
        self.counts.consecutive_successes = 0;
        let opens = matches!(self.phase, Phase::HalfOpen) || settings.trip.is_due(&self.counts);
        opens.then(|| Phase::Open { until: now.checked_add(settings.timeout).unwrap_or(now) })
    }

    pub(super) fn begin(&mut self, phase: Phase) {
        match (self.phase, phase) {
            // Only its counters are cleared.
            (Phase::Closed { .. }, Phase::Closed { .. }) => {}
            (_, Phase::Closed { .. }) => self.changes.closed += 1,
            (_, Phase::Open { .. }) => self.changes.opened += 1,
            (_, Phase::HalfOpen) => self.changes.half_opened += 1,
        }
        self.phase = phase;
        self.generation += 1;
        self.counts = Counts::default();
    }
}
