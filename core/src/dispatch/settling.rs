//! Events that become something else before they are settled: dead letters and emissions.
//!
//! The place for a transaction as well: a job holds the event and what it becomes, so a component that can write the
//! output and the consumer's offset in one step would do it here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Ending;
use super::rules::DeadLetters;
use super::state::{SettlingEnd, SubscriptionState};
use crate::binding::{Call, OutputBinding, Request};
use crate::error::{Error, ErrorCode, Result};
use crate::event::{Cause, Emission, StoredEvent};
use crate::metadata::{Metadata, MetadataValue};
use crate::policy::Backoff;
use crate::telemetry::TraceContext;

/// How long one invocation may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a dead letter that cannot leave sleeps before it looks whether its source has closed.
const SLICE: Duration = Duration::from_millis(100);

/// The way from dispatch to output bindings.
pub(crate) trait Outputs: Send + Sync + 'static {
    /// The output binding of a name.
    fn output(&self, name: &str) -> Result<Arc<dyn OutputBinding>>;
}

/// An event on its way to become something else.
pub(super) struct Job {
    pub(super) lane: u64,
    pub(super) event: Arc<StoredEvent>,
    pub(super) work: Work,
}

pub(super) enum Work {
    DeadLetter(DeadLetters),
    Emit(Vec<Emission>),
}

/// Does a job to its end, and those that follow from it.
pub(super) async fn run(job: Job, state: Arc<SubscriptionState>, outputs: Arc<dyn Outputs>) {
    let mut jobs = vec![job];
    while let Some(Job { lane, event, work }) = jobs.pop() {
        let end = match work {
            Work::DeadLetter(target) => {
                let end = send_dead_letter(lane, &event, &target, &state, &outputs).await;
                state.set_undeliverable(lane, &event, None);
                end
            }
            Work::Emit(emissions) => match emit(&event, emissions, &outputs).await {
                Ok(()) => SettlingEnd::Confirmed(Ending::Emit),
                Err(error) => {
                    tracing::warn!(target: "bindwright", binding = &*state.binding, "an emission failed; the event \
                        counts as failed: {error}");
                    SettlingEnd::Refused(Cause::from(&error))
                }
            },
        };
        jobs.extend(state.end_settling(lane, &event, end));
    }
}

/// Sends until it is confirmed: the event can be settled no other way. Sent twice when an outcome stays unknown.
async fn send_dead_letter(
    lane: u64,
    event: &StoredEvent,
    target: &DeadLetters,
    state: &SubscriptionState,
    outputs: &Arc<dyn Outputs>,
) -> SettlingEnd {
    let pauses = Backoff::default();
    let mut form = Form::AsItCame;
    for attempt in 1_u32.. {
        let sent = invoke(outputs, &target.binding, &target.operation, vec![dead_letter(event, form)]).await;
        let Err(error) = sent else { return SettlingEnd::Confirmed(Ending::DeadLetter) };
        if error.code() == ErrorCode::InvalidRequest {
            form = Form::Harmless;
        }
        let error = error.component(target.binding.clone());
        tracing::error!(target: "bindwright", binding = &*state.binding, "a dead letter cannot leave, and is tried \
            again: {error}");
        state.set_undeliverable(lane, event, Some(error));
        let until = Instant::now() + pauses.pause(attempt, 0.5).unwrap_or(pauses.maximum);
        while Instant::now() < until {
            if event.source.is_closed() {
                return SettlingEnd::GivenUp;
            }
            tokio::time::sleep(SLICE.min(until.saturating_duration_since(Instant::now()))).await;
        }
    }
    SettlingEnd::GivenUp
}

/// Makes the invocations in their order; those of one binding and operation that stand together go as one list.
async fn emit(event: &StoredEvent, emissions: Vec<Emission>, outputs: &Arc<dyn Outputs>) -> Result<()> {
    let trace = TraceContext::from_metadata(&event.metadata);
    let mut rest = emissions.into_iter().peekable();
    while let Some(Emission { binding, operation, request }) = rest.next() {
        let mut requests = vec![request];
        while let Some(next) = rest.next_if(|next| next.binding == binding && next.operation == operation) {
            requests.push(next.request);
        }
        if let Some(trace) = &trace {
            for request in &mut requests {
                trace.add_to(&mut request.metadata);
            }
        }
        invoke(outputs, &binding, &operation, requests).await?;
    }
    Ok(())
}

/// Invokes in a task of its own, which turns a panic into an error: an event must not stay half settled.
async fn invoke(
    outputs: &Arc<dyn Outputs>,
    binding: &str,
    operation: &str,
    mut requests: Vec<Request>,
) -> Result<()> {
    let output = outputs.output(binding)?;
    let call = Call { operation: operation.into(), deadline: Instant::now() + PATIENCE };
    let invoking = tokio::spawn(async move {
        if requests.len() == 1
            && let Some(request) = requests.pop()
        {
            return output.invoke(&call, request).await.map(drop);
        }
        let replies = output.invoke_many(&call, requests).await;
        replies.into_iter().try_for_each(|reply| reply.map(drop))
    });
    invoking.await.unwrap_or_else(|error| {
        Err(Error::new(ErrorCode::Internal, format!("the binding panicked: {error}")).component(binding))
    })
}

/// How a dead letter carries the metadata of its event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    AsItCame,
    /// Under other names: a name can mean something to the binding, such as `partitionNumber` to Kafka, and an event
    /// must not be held by what its sender wrote into a header.
    Harmless,
}

/// The event as its dead letter: the same data and metadata, and what happened to it.
///
/// Names of the component's own, which start with two underscores and say where the event came from, become
/// `deadLetter…`: another broker gives its own. Only the key stays a key.
fn dead_letter(event: &StoredEvent, form: Form) -> Request {
    let mut metadata = Metadata::with_capacity(event.metadata.len() + 6);
    for (name, value) in event.metadata.iter() {
        match name.strip_prefix("__") {
            Some("key") => metadata.add(name.to_owned(), value.clone()),
            Some(place) => metadata.add(prefixed(place), value.clone()),
            None if form == Form::AsItCame => metadata.add(name.to_owned(), value.clone()),
            None => metadata.add(format!("deadLetterHeader.{name}"), value.clone()),
        }
    }
    let history = event.history.lock().clone();
    metadata.add("deadLetterSource", event.source.binding.clone());
    metadata.add("deadLetterAttempts", i64::from(event.failures.load(Ordering::Relaxed)));
    if let Some(history) = history {
        metadata.add("deadLetterFirstTime", millis(history.first));
        metadata.add("deadLetterLastTime", millis(history.last));
        if let Some(cause) = history.cause {
            metadata.add("deadLetterCode", cause.code);
            metadata.add("deadLetterCause", cause.text);
        }
    }
    Request { metadata, ..Request::new(event.body.clone()) }
}

/// `offset` → `deadLetterOffset`.
fn prefixed(place: &str) -> String {
    let mut letters = place.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    "deadLetter".chars().chain(first).chain(letters).collect()
}

fn millis(time: SystemTime) -> MetadataValue {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    MetadataValue::Integer(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
