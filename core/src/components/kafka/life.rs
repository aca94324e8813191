//! The life of a reader's thread: one consumer after the other, until the reader is stopped.
//!
//! A consumer that cannot go on, that has stalled or whose loop panicked is replaced. The next one starts from the
//! committed offsets, so nothing is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;

use super::avro::Incoming;
use super::consumer::{self, KafkaConsumer};
use super::guard::{self, log};
use super::reader::{Ended, Reader, Shared};
use super::settings::KafkaSettings;
use super::stall::StallWatch;
use super::tokens::Tokens;
use crate::dispatch::Intake;
use crate::error::Result;

/// The longest pause between consumers that break soon; longer only where `consumeRetryInterval` is.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Whoever lived for so long did not break soon.
const LONG_LIFE: Duration = Duration::from_mins(1);

/// What a reader knows beyond the life of one consumer.
pub(super) struct Memory {
    pub(super) stalls: StallWatch,
    /// Topics that were read. One that is deleted and made anew is not new to the group, though it has no offsets.
    pub(super) started: BTreeSet<String>,
}

/// What every consumer of a reader gets.
pub(super) struct Life {
    pub(super) config: ClientConfig,
    pub(super) settings: Arc<KafkaSettings>,
    pub(super) intake: Intake,
    pub(super) shared: Arc<Shared>,
    /// What consumers log in with, where they need tokens.
    pub(super) tokens: Option<Arc<Tokens>>,
    pub(super) incoming: Option<Incoming>,
    /// Tells how reading ended, and goes last: whoever listens knows by that when the group is left.
    pub(super) tell: Sender<Result<()>>,
}

impl Life {
    /// Reads until the reader is stopped.
    pub(super) fn live(self, first: Arc<KafkaConsumer>) {
        let mut memory = Memory {
            stalls: StallWatch::new(self.settings.stall_timeout, Instant::now()),
            started: BTreeSet::new(),
        };
        let mut next = Some(first);
        let mut soon_broken = 0;
        while let Some(consumer) = next {
            let began = Instant::now();
            let mut reader = Reader::new(&self, consumer, memory);
            let ended =
                guard::caught("the reader", || reader.read_until_ended()).unwrap_or_else(Ended::Broken);
            match ended {
                Ended::Stopped(result) => {
                    let _ = self.tell.send(result);
                    // Leaves the group, which nobody who was told has to wait for.
                    reader.end();
                    return;
                }
                Ended::Broken(error) => {
                    memory = reader.end();
                    log!(warn, "the consumer is replaced: {error}");
                    self.shared.status.broken(error);
                }
            }
            soon_broken = if began.elapsed() < LONG_LIFE { soon_broken + 1 } else { 0 };
            next = self.next_consumer(soon_broken);
        }
        let _ = self.tell.send(Ok(()));
    }

    /// The next consumer, after a pause that doubles while consumers break soon; none when the reader is stopped.
    fn next_consumer(&self, soon_broken: u32) -> Option<Arc<KafkaConsumer>> {
        let shortest = self.settings.reconnect_pause.max(Duration::from_millis(10));
        let mut pause = shortest * 2_u32.pow(soon_broken.saturating_sub(1).min(10));
        loop {
            let until = Instant::now() + pause.min(LONGEST_PAUSE.max(shortest));
            while Instant::now() < until && !self.is_stopped() {
                self.shared.alarm.wait(until.saturating_duration_since(Instant::now()));
            }
            if self.is_stopped() {
                return None;
            }
            let tokens = self.tokens.as_deref();
            match consumer::start(&self.config, &self.shared.alarm, &self.shared.status, tokens) {
                Ok(consumer) => return Some(consumer),
                Err(error) => self.shared.status.broken(error),
            }
            pause *= 2;
        }
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop_by.lock().is_some()
    }
}
