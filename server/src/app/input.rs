//! The life of one input: ask the application whether it wants it, receive, deliver, stop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bindwright::event_loop::caught;
use bindwright::{Event, HandOut, Outcome, Subscription};
use tokio::sync::{SemaphorePermit, watch};
use tokio::task::JoinSet;

use super::channel::Channel;
use super::outcome::{self, Unanswered};
use crate::sidecar::Sidecar;

/// How many events of a lane are taken at once.
const BATCH: usize = 64;
/// The pauses between attempts to ask, or to open an input.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The pause before an event that the application did not take comes again.
const NOT_TAKEN: Duration = Duration::from_millis(500);

/// Which events go where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) route: Option<String>,
    /// Its document says that it is wanted: the application is not asked.
    pub(super) is_explicit: bool,
}

pub(super) async fn live(
    sidecar: Arc<Sidecar>,
    channel: Arc<Channel>,
    input: Input,
    mut stop: watch::Receiver<bool>,
    asked: watch::Sender<bool>,
) {
    let subscription = tokio::select! {
        opened = open(&sidecar, &channel, &input, &asked) => opened,
        _ = stop.wait_for(|stop| *stop) => return,
    };
    let Some(subscription) = subscription else { return };
    let mut deliveries = JoinSet::new();
    loop {
        let batch = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            batch = subscription.next_batch(BATCH, None) => batch,
        };
        let Some(batch) = batch else { break };
        let delivery = Delivery {
            sidecar: sidecar.clone(),
            channel: channel.clone(),
            subscription: subscription.clone(),
            input: input.clone(),
        };
        deliveries.spawn(async move { delivery.all(batch).await });
        while deliveries.try_join_next().is_some() {}
    }
    let patience = Duration::from_secs(sidecar.options.dapr_graceful_shutdown_seconds.into());
    if let Err(error) = subscription.close(patience).await {
        tracing::warn!(target: "bindwright", binding = input.name, "closing the input: {error}");
    }
    // What the application still has counts for nothing now, and must not keep others from it.
    deliveries.shutdown().await;
}

/// Asks, then subscribes; tried again until it works. `None` when the application does not want it.
async fn open(
    sidecar: &Sidecar,
    channel: &Channel,
    input: &Input,
    asked: &watch::Sender<bool>,
) -> Option<Subscription> {
    let mut pause = PAUSES.0;
    let mut is_wanted = input.is_explicit;
    loop {
        if !is_wanted {
            match channel.wants(input).await {
                Ok(true) => is_wanted = true,
                Ok(false) => {
                    tracing::info!(target: "bindwright", binding = input.name, "the application does not want events of it");
                    asked.send_replace(true);
                    return None;
                }
                Err(text) => tracing::warn!(target: "bindwright", binding = input.name,
                    "the application did not say whether it wants events of it, and is asked again: {text}"),
            }
        }
        asked.send_replace(true);
        if is_wanted {
            match sidecar.client.subscribe(&input.name, HandOut::LaneAtATime).await {
                Ok(subscription) => {
                    tracing::info!(target: "bindwright", binding = input.name, "events go to the application");
                    return Some(subscription);
                }
                Err(error) => tracing::warn!(target: "bindwright", "{error}"),
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

struct Delivery {
    sidecar: Arc<Sidecar>,
    channel: Arc<Channel>,
    subscription: Subscription,
    input: Input,
}

impl Delivery {
    async fn all(&self, batch: Vec<Event>) {
        for event in batch {
            // Before the handler's time begins: waiting for others is none of it.
            let permit = self.channel.permit().await;
            if !self.subscription.begin(&event) {
                continue;
            }
            let began = Instant::now();
            let outcome = caught(async { Ok(self.one(&event, permit).await) }).await;
            let outcome = outcome.unwrap_or_else(|error| Ok(Outcome::failed("PANIC", error.to_string())));
            let outcome = match outcome {
                Ok(outcome) => outcome,
                Err(why) => {
                    tracing::warn!(target: "bindwright", binding = self.input.name,
                        "the application did not take an event, which comes again: {why}");
                    tokio::time::sleep(NOT_TAKEN).await;
                    self.subscription.release(&[event.token()]);
                    continue;
                }
            };
            let is_handled = matches!(outcome, Outcome::Ack | Outcome::Reply(_) | Outcome::Emit(_));
            self.sidecar.metrics.delivered(&self.input.name, is_handled, began.elapsed());
            if let Outcome::Retry { cause, .. } = &outcome {
                let why = cause.as_ref().map_or("without a cause", |cause| &cause.text);
                tracing::warn!(target: "bindwright", binding = self.input.name, attempt = event.attempt(),
                    "an event was not handled, and comes again: {why}");
            }
            self.subscription.settle(&[(event.token(), outcome)]);
        }
    }

    /// The outcome of an event; an error where the application did not take it.
    async fn one(&self, event: &Event, permit: Option<SemaphorePermit<'_>>) -> Result<Outcome, String> {
        let answered = async {
            let answered = self.channel.deliver(&self.input, event).await;
            drop(permit);
            match answered {
                Ok(answer) => Ok(outcome::of(&self.sidecar, event, answer).await),
                Err(Unanswered::NotTaken(text)) => Err(text),
                Err(Unanswered::Failed(text)) => Ok(Outcome::failed(outcome::UNREACHABLE, text)),
            }
        };
        match self.subscription.handler_timeout() {
            None => answered.await,
            Some(timeout) => tokio::time::timeout(timeout, answered).await.unwrap_or_else(|_| {
                Ok(Outcome::failed("TIMEOUT", format!("the application did not answer within {timeout:?}")))
            }),
        }
    }
}
