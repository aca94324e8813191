//! One event: from a request of the sidecar into dispatch, and its outcome back as the answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{AppChannel, Receiver};
use crate::body::Body;
use crate::dispatch::{Ending, Settler, Sighting, Witness};
use crate::event::NewEvent;

/// What the sidecar is told of an event.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is settled; the handler's reply where it gave one.
    Settled(Body),
    /// Nobody subscribes to the binding.
    Unwanted,
    /// The handler failed; the sidecar delivers it again as its rules say.
    Failed(Failure),
    /// The subscription ended before a handler began, or before it was done.
    Stopping,
}

/// An event that was not handled.
#[derive(Debug)]
pub(super) struct Failure {
    /// Given up: it is to be a dead letter.
    pub(super) is_given_up: bool,
    pub(super) code: String,
    pub(super) text: String,
    /// The pause that the handler asked for.
    pub(super) after: Option<Duration>,
}

/// Hands an event to the subscription of its name and waits for its outcome. Dropped before that, because the sidecar
/// hung up, the event is taken back: what its handler settles does not count.
pub(super) async fn deliver(channel: &AppChannel, name: &str, event: NewEvent) -> Answer {
    let Some(receiver) = channel.receiver(name) else { return Answer::Unwanted };
    let _under_way = UnderWay::begin(&receiver);
    let outcome = Arc::new(Outcome::default());
    let source = receiver.intake.open_witnessed(outcome.clone(), Some(outcome.clone()));
    source.push(vec![event]);
    let mut is_closed = false;
    loop {
        let mut settled = std::pin::pin!(outcome.bell.notified());
        settled.as_mut().enable();
        let mut stopped = std::pin::pin!(receiver.bell.notified());
        stopped.as_mut().enable();
        if let Some(answer) = outcome.answer.lock().take() {
            return answer;
        }
        if receiver.stopped.load(Ordering::SeqCst) {
            if !is_closed {
                source.close();
                is_closed = true;
                continue;
            }
            // No handler has it, and none will.
            if source.outstanding() == 0 || receiver.abandoned.load(Ordering::SeqCst) {
                return outcome.answer.lock().take().unwrap_or(Answer::Stopping);
            }
        }
        tokio::select! {
            () = settled => {}
            () = stopped => {}
        }
    }
}

/// Counts an event among those that a subscription waits for when it ends.
struct UnderWay<'a>(&'a Receiver);

impl<'a> UnderWay<'a> {
    fn begin(receiver: &'a Receiver) -> Self {
        receiver.under_way.fetch_add(1, Ordering::SeqCst);
        Self(receiver)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::SeqCst);
        if self.0.stopped.load(Ordering::SeqCst) {
            self.0.bell.notify_waiters();
        }
    }
}

/// What became of the event, as dispatch tells it.
#[derive(Default)]
struct Outcome {
    reply: Mutex<Body>,
    answer: Mutex<Option<Answer>>,
    bell: Notify,
}

impl Settler for Outcome {
    fn settled(&self, positions: &[i64]) {
        if !positions.is_empty() {
            let reply = std::mem::take(&mut *self.reply.lock());
            self.answer.lock().get_or_insert(Answer::Settled(reply));
        }
        // Also without: whoever waits for the source to be quiet looks again.
        self.bell.notify_one();
    }

    fn replied(&self, _: i64, reply: Body) {
        *self.reply.lock() = reply;
    }
}

impl Witness for Outcome {
    fn saw(&self, sightings: Vec<Sighting>) {
        let mut answer = self.answer.lock();
        for Sighting { ending, cause, after, .. } in sightings {
            let is_given_up = match ending {
                None => false,
                Some(Ending::Held) => true,
                Some(_) => continue,
            };
            let (code, text) = match cause {
                Some(cause) => (cause.code, cause.text),
                None => (String::new(), "the event was not handled".to_owned()),
            };
            // Giving up is a failure first.
            if answer.is_none() || is_given_up {
                *answer = Some(Answer::Failed(Failure { is_given_up, code, text, after }));
            }
        }
        drop(answer);
        self.bell.notify_one();
    }
}
