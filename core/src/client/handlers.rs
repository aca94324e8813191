//! Running async handlers: one event after the other, or a batch at once.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use crate::dispatch::Subscription;
use crate::error::ErrorCode;
use crate::event::{Event, Outcome};
use crate::telemetry;

pub(super) async fn handle_batch<H, F>(subscription: Subscription, handler: Arc<H>, batch: Vec<Event>)
where
    H: Fn(Event) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    for event in batch {
        if !subscription.begin(&event) {
            continue;
        }
        let token = event.token();
        // A task of its own turns a panic into an error.
        let span = telemetry::handling(event.binding(), event.attempt(), event.metadata());
        let outcome =
            run_handler(called(handler.clone(), event).instrument(span), subscription.handler_timeout())
                .await;
        subscription.settle(&[(token, outcome.unwrap_or_else(|failed| failed))]);
    }
}

pub(super) async fn handle_together<H, F>(subscription: Subscription, handler: Arc<H>, batch: Vec<Event>)
where
    H: Fn(Vec<Event>) -> F + Send + Sync + 'static,
    F: Future<Output = Vec<Outcome>> + Send + 'static,
{
    let batch: Vec<Event> = batch.into_iter().filter(|event| subscription.begin(event)).collect();
    let tokens: Vec<_> = batch.iter().map(Event::token).collect();
    let span = tracing::info_span!(target: "bindwright", "events", binding = subscription.binding(), count = batch.len());
    let outcomes = run_handler(called(handler, batch).instrument(span), subscription.handler_timeout()).await;
    let outcomes: Vec<_> = match outcomes {
        // What the handler says nothing about was not handled.
        Ok(outcomes) => {
            let told = outcomes.into_iter().chain(std::iter::repeat(Outcome::RETRY));
            tokens.into_iter().zip(told).collect()
        }
        Err(failed) => tokens.into_iter().map(|token| (token, failed.clone())).collect(),
    };
    subscription.settle(&outcomes);
}

/// Calls the handler where it runs: it may panic before it returns its future.
async fn called<H, E, F: Future>(handler: Arc<H>, argument: E) -> F::Output
where
    H: Fn(E) -> F + Send + Sync + 'static,
{
    handler(argument).await
}

/// Runs a handler in a task of its own, which turns a panic into a failed delivery, for as long as it may take.
async fn run_handler<T: Send + 'static>(
    handler: impl Future<Output = T> + Send + 'static,
    timeout: Option<Duration>,
) -> std::result::Result<T, Outcome> {
    let mut running = tokio::spawn(handler);
    let ended = match timeout {
        None => (&mut running).await,
        Some(timeout) => {
            let Ok(ended) = tokio::time::timeout(timeout, &mut running).await else {
                running.abort();
                let text = format!("the handler did not end within {timeout:?}");
                return Err(Outcome::failed(ErrorCode::Timeout.as_str(), text));
            };
            ended
        }
    };
    ended.map_err(|error| Outcome::failed("PANIC", error.to_string()))
}
