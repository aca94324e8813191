//! What one component's events are treated by: settings and policies, put together once.

use std::sync::Arc;
use std::time::Duration;

use crate::policy::{Backoff, Breaker, Inbound, Ledger};
use crate::settings::RuntimeSettings;

/// What stays in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OrderBy {
    /// All events of a partition, one after the other; partitions in parallel.
    #[default]
    Partition,
    /// The events of one key, one after the other; keys in parallel. Events without a key have no order.
    Key,
    /// Nothing: every event on its own.
    None,
}

/// How dispatch treats the events of one component.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) order_by: OrderBy,
    /// Handlers that may have work at once.
    pub(crate) max_in_flight: usize,
    /// Pauses and the number of deliveries: everything that retries, counted together.
    pub(crate) redelivery: Backoff,
    /// Where exhausted events go.
    pub(crate) dead_letters: Option<DeadLetters>,
    /// How long a handler may take.
    pub(crate) timeout: Option<Duration>,
    /// What keeps events back while handlers only fail.
    pub(crate) breaker: Option<Arc<Breaker>>,
    /// No pause between deliveries is longer; shortens those of a test.
    pub(crate) longest_pause: Duration,
}

/// The binding that carries dead letters.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetters {
    pub(crate) binding: Arc<str>,
    pub(crate) operation: Arc<str>,
}

impl Rules {
    /// The rules of a component whose own settings ask for this back-off. A policy stands for it: the two are never
    /// multiplied.
    pub(crate) fn new(settings: &RuntimeSettings, own: Backoff, policy: Option<Inbound>) -> Self {
        let Inbound { timeout, retry, breaker } =
            policy.unwrap_or(Inbound { timeout: None, retry: None, breaker: None });
        let backoff = retry.map_or(own, |retry| retry.backoff);
        let dead_letters = settings.dead_letter_binding.as_deref().map(|binding| DeadLetters {
            binding: binding.into(),
            operation: settings.dead_letter_operation.as_deref().unwrap_or("create").into(),
        });
        Self {
            order_by: settings.order_by,
            max_in_flight: settings.max_in_flight.map_or(usize::MAX, |most| most as usize),
            redelivery: backoff.limited_to(settings.max_delivery_count),
            dead_letters,
            timeout,
            breaker,
            longest_pause: Duration::MAX,
        }
    }

    /// The pause after so many failed deliveries, `asked` where the handler named one; `None` when it was the last.
    pub(crate) fn pause_after(&self, failures: u32, asked: Option<Duration>) -> Option<Duration> {
        let pause = self.redelivery.draw(failures)?;
        Some(asked.unwrap_or(pause).min(self.longest_pause))
    }

    /// How often an event is delivered, and how long that takes.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::of(&self.redelivery, self.timeout)
    }
}
