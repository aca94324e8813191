//! How often policies were at work, for those who watch. Counted only where there is a policy.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one direction of one component.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    executions: AtomicU64,
    timeouts: AtomicU64,
    retries: AtomicU64,
}

impl Counts {
    /// A call or an event that policies concern.
    pub(crate) fn executed(&self) {
        self.executions.fetch_add(1, Ordering::Relaxed);
    }

    /// An attempt was given up because its time was over.
    pub(crate) fn timed_out(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    /// Another attempt follows.
    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// What is told of them.
    pub(crate) fn told(
        &self,
        component: &str,
        is_inbound: bool,
        (has_timeout, has_retry): (bool, bool),
        breaker: Option<BreakerUse>,
    ) -> PolicyUse {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PolicyUse {
            component: component.to_owned(),
            is_inbound,
            executions: read(&self.executions),
            timeouts: has_timeout.then(|| read(&self.timeouts)),
            retries: has_retry.then(|| read(&self.retries)),
            breaker,
        }
    }
}

/// What policies did, since the documents concerned were read the last time.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct PolicyReport {
    /// The names of the `Resiliency` documents, in the order in which they were read.
    pub documents: Vec<String>,
    /// Each direction of each component that policies concern, by the component's name.
    pub uses: Vec<PolicyUse>,
}

/// What the policies of one direction of a component did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PolicyUse {
    /// The component's name.
    pub component: String,
    /// Whether it is about its events; else about its calls.
    pub is_inbound: bool,
    /// Calls made, or events of which a delivery has ended.
    pub executions: u64,
    /// Attempts that took longer than they may; `None` without a time-out policy.
    pub timeouts: Option<u64>,
    /// Attempts after the first one of a call, or an event; `None` without a retry policy.
    pub retries: Option<u64>,
    /// How the circuit breaker is, where there is one.
    pub breaker: Option<BreakerUse>,
}

/// How a circuit breaker is, and how often it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerUse {
    /// `closed`, `half-open` or `open`.
    pub state: &'static str,
    /// How often it opened.
    pub opened: u64,
    /// How often it let a few through to see.
    pub half_opened: u64,
    /// How often it closed again.
    pub closed: u64,
}
