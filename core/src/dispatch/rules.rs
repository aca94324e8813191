//! What one component's events are treated by: settings and policies, put together once.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Status;
use crate::policy::{Backoff, Breaker, Counts, Inbound, Ledger, Matching};
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
    /// Which answers of an application the redelivery above is for, where a policy restricts it.
    pub(crate) restricted: Option<Box<Restricted>>,
    /// Where exhausted events go.
    pub(crate) dead_letters: Option<DeadLetters>,
    /// How long a handler may take.
    pub(crate) timeout: Option<Duration>,
    /// What keeps events back while handlers only fail.
    pub(crate) breaker: Option<Arc<Breaker>>,
    /// An event that is given up goes back to where it came from, instead of holding its lane.
    pub(crate) gives_back: bool,
    /// No pause between deliveries is longer; shortens those of a test.
    pub(crate) longest_pause: Duration,
    /// What a policy did, where there is one.
    pub(crate) counts: Option<Arc<Counts>>,
}

/// A retry policy that is not for every answer.
#[derive(Debug, Clone)]
pub(crate) struct Restricted {
    matching: Matching,
    /// For the answers that it is not for: as without a policy.
    otherwise: Backoff,
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
        let (timeout, retry, breaker, counts) = match policy {
            Some(Inbound { timeout, retry, breaker, counts }) => (timeout, retry, breaker, Some(counts)),
            None => (None, None, None, None),
        };
        let backoff = retry.as_ref().map_or(own, |retry| retry.backoff);
        let matching = retry.map(|retry| retry.matching).filter(|matching| *matching != Matching::ALL);
        let otherwise = own.limited_to(settings.max_delivery_count);
        let dead_letters = settings.dead_letter_binding.as_deref().map(|binding| DeadLetters {
            binding: binding.into(),
            operation: settings.dead_letter_operation.as_deref().unwrap_or("create").into(),
        });
        Self {
            order_by: settings.order_by,
            max_in_flight: settings.max_in_flight.map_or(usize::MAX, |most| most as usize),
            redelivery: backoff.limited_to(settings.max_delivery_count),
            restricted: matching.map(|matching| Box::new(Restricted { matching, otherwise })),
            dead_letters,
            timeout,
            breaker,
            gives_back: false,
            longest_pause: Duration::MAX,
            counts,
        }
    }

    /// The rules for events whose order, limits and redelivery somebody else keeps: each is on its own, and one that
    /// failed goes back to where it came from.
    pub(crate) fn once() -> Self {
        Self {
            order_by: OrderBy::None,
            max_in_flight: usize::MAX,
            redelivery: Backoff::default(),
            restricted: None,
            dead_letters: None,
            timeout: None,
            breaker: None,
            gives_back: true,
            longest_pause: Duration::MAX,
            counts: None,
        }
    }

    /// The pause after so many failed deliveries, `asked` where the handler named one; `None` when it was the last.
    ///
    /// An answer that the policy's `matching` leaves out is not worth another delivery: its event becomes a dead letter
    /// at once. Where there is no binding for these it comes again as without a policy, so that nothing is lost.
    pub(crate) fn pause_after(
        &self,
        failures: u32,
        asked: Option<Duration>,
        status: Option<Status>,
    ) -> Option<Duration> {
        if self.gives_back {
            // Whoever waits for the event hears of the failure at once and takes it back: it must not come a second
            // time meanwhile.
            return Some(self.longest_pause);
        }
        let redelivery = match &self.restricted {
            Some(restricted) if !restricted.matching.covers(status) => {
                if self.dead_letters.is_some() {
                    return None;
                }
                &restricted.otherwise
            }
            _ => &self.redelivery,
        };
        let pause = redelivery.draw(failures)?;
        Some(asked.unwrap_or(pause).min(self.longest_pause))
    }

    /// How often an event is delivered, and how long that takes.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::of(&self.redelivery, self.timeout)
    }
}
