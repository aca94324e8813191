//! The thread that owns a consumer: reads partitions into sources, commits what was settled, hands partitions over.
//!
//! Every partition has a queue of its own inside librdkafka. A partition whose handler is slow is simply not drained:
//! pausing it would throw prefetched records away, and not polling at all would cost the consumer its membership.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::consumer::{self, Context, KafkaConsumer, QUESTION_PATIENCE, Rebalance, Status};
use super::missing::MissingTopics;
use super::progress::{Alarm, Progress};
use super::settings::KafkaSettings;
use super::{failure, record};
use crate::dispatch::{Intake, Source};
use crate::error::{Error, ErrorCode, Result};
use crate::health::Health;

/// The longest the thread sleeps; commits of a quiet topic and the group's own timers need no better.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// Records taken from one partition before the next has its turn.
const READ_AT_ONCE: usize = 512;
/// How often a cluster that was away is asked whether it is back.
const PROBE_PAUSE: Duration = Duration::from_secs(1);
/// How long saying goodbye to the group may hold up whoever stops the reader. Where the cluster does not answer, the
/// client library would wait for a session or more.
const GOODBYE: Duration = Duration::from_secs(2);

/// The way to a running reader.
pub(super) struct ReaderHandle {
    shared: Arc<Shared>,
    /// Tells how reading ended, and breaks when the thread is gone.
    told: Mutex<mpsc::Receiver<Result<()>>>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) alarm: Arc<Alarm>,
    pub(super) status: Arc<Status>,
    pub(super) stop_by: Mutex<Option<Instant>>,
}

impl ReaderHandle {
    pub(super) fn health(&self) -> Health {
        self.shared.status.health()
    }

    /// Ends the reader; see [`Reading::stop`](crate::binding::Reading::stop). Blocks.
    pub(super) fn stop(self, deadline: Instant) -> Result<()> {
        *self.shared.stop_by.lock() = Some(deadline);
        self.shared.alarm.ring();
        let told = self.told.into_inner();
        let Ok(result) = told.recv() else {
            return Err(Error::new(ErrorCode::Internal, "the reader panicked"));
        };
        if let Err(mpsc::RecvTimeoutError::Timeout) = told.recv_timeout(GOODBYE) {
            tracing::debug!(target: "bindwright::kafka", "the group is left in the background");
        }
        result
    }
}

/// A partition that is assigned to this consumer.
pub(super) struct Assigned {
    pub(super) topic: Arc<str>,
    pub(super) queue: PartitionQueue<Context>,
    /// The queue may have something.
    pub(super) nonempty: Arc<AtomicBool>,
    pub(super) source: Source,
    pub(super) progress: Arc<Progress>,
}

/// Why a consumer was given up.
enum Ended {
    Stopped(Result<()>),
    Broken(Error),
}

pub(super) type PartitionKey = (String, i32);
/// What a commit covers: so many events of each partition.
pub(super) type Covered = Vec<(Arc<Progress>, usize)>;

pub(super) struct Reader {
    pub(super) consumer: Arc<KafkaConsumer>,
    pub(super) settings: Arc<KafkaSettings>,
    pub(super) intake: Intake,
    pub(super) shared: Arc<Shared>,
    pub(super) assigned: BTreeMap<PartitionKey, Assigned>,
    /// The commit that is on its way: what it covers, and since when.
    pub(super) commit_out: Option<(Covered, Instant)>,
    /// Why the last commit that was answered failed.
    pub(super) commit_refused: Option<RDKafkaErrorCode>,
    pub(super) last_commit: Instant,
    pub(super) missing: MissingTopics,
    last_probe: Instant,
}

impl Reader {
    /// Starts the thread. The cluster need not be there.
    pub(super) fn start(
        config: &ClientConfig,
        settings: Arc<KafkaSettings>,
        intake: Intake,
    ) -> Result<ReaderHandle> {
        let shared = Arc::new(Shared::default());
        // The first consumer is made here, so that options which librdkafka refuses fail at once.
        let mut consumer = consumer::start(config, &shared.alarm, &shared.status)?;
        let (config, in_thread) = (config.clone(), shared.clone());
        let (tell, told) = mpsc::channel();
        let run = move || loop {
            let mut reader = Self {
                consumer,
                settings: settings.clone(),
                intake: intake.clone(),
                shared: in_thread.clone(),
                assigned: BTreeMap::new(),
                commit_out: None,
                commit_refused: None,
                last_commit: Instant::now(),
                missing: MissingTopics::default(),
                last_probe: Instant::now(),
            };
            match reader.run() {
                Ended::Stopped(result) => {
                    let _ = tell.send(result);
                    // Leaves the group. `tell` goes last, and so says when that is done.
                    drop(reader);
                    return;
                }
                Ended::Broken(error) => {
                    drop(reader);
                    tracing::warn!(target: "bindwright::kafka", "the consumer is replaced: {error}");
                    in_thread.status.set(Some(error));
                    in_thread.status.set_missing(None);
                }
            }
            consumer = loop {
                in_thread.alarm.wait(settings.reconnect_pause.max(Duration::from_millis(10)));
                if in_thread.stop_by.lock().is_some() {
                    let _ = tell.send(Ok(()));
                    return;
                }
                match consumer::start(&config, &in_thread.alarm, &in_thread.status) {
                    Ok(consumer) => break consumer,
                    Err(error) => in_thread.status.set(Some(error)),
                }
            };
        };
        std::thread::Builder::new()
            .name("bindwright-read".to_owned())
            .spawn(run)
            .map_err(|error| Error::new(ErrorCode::Internal, format!("no thread to read with: {error}")))?;
        Ok(ReaderHandle { shared, told: Mutex::new(told) })
    }

    fn run(&mut self) -> Ended {
        let ended = self.read_until_ended();
        // Lanes and queues go before the consumer; its own drop then leaves the group without asking anybody.
        self.assigned.clear();
        self.consumer.context().begin_closing();
        ended
    }

    fn read_until_ended(&mut self) -> Ended {
        if let Err(error) = self.subscribe() {
            return Ended::Broken(failure::from_kafka(&error, "the topics cannot be subscribed to"));
        }
        loop {
            let stop_by = *self.shared.stop_by.lock();
            if let Some(deadline) = stop_by {
                return Ended::Stopped(self.leave(deadline));
            }
            if let Err(error) = self.step() {
                return Ended::Broken(error);
            }
        }
    }

    fn subscribe(&self) -> Result<(), KafkaError> {
        let topics: Vec<&str> = self.settings.topics.iter().map(String::as_str).collect();
        self.consumer.subscribe(&topics)
    }

    fn step(&mut self) -> Result<()> {
        self.serve_main_queue()?;
        for rebalance in self.consumer.context().take_rebalances() {
            match rebalance {
                Rebalance::Assign(list) => self.assign(&list)?,
                Rebalance::Revoke(list) => self.revoke(&list)?,
            }
        }
        let more = self.read_partitions();
        self.commit_if_due();
        if self.missing.is_due()
            && self.missing.look(&self.consumer, &self.settings.topics, &self.shared.status)
        {
            // Gives the partitions of the other topics back for a moment, so only when there is a reason.
            if let Err(error) = self.subscribe() {
                tracing::debug!(target: "bindwright::kafka", "{error}");
            }
        }
        if self.shared.status.is_unavailable() && self.last_probe.elapsed() >= PROBE_PAUSE {
            self.probe();
        }
        if !more {
            self.shared.alarm.wait(TICK);
        }
        Ok(())
    }

    /// Serves everything but records: rebalances, commits, errors.
    pub(super) fn serve_main_queue(&mut self) -> Result<()> {
        loop {
            let seen = self.consumer.context().seen();
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    // Partitions are split before they are assigned, so this cannot be; starting again from the
                    // committed offsets loses nothing.
                    drop(message);
                    return Err(Error::new(
                        ErrorCode::Internal,
                        "a record came outside its partition's queue",
                    ));
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    return Err(failure::from_code(code, "the consumer cannot go on"));
                }
                Some(Err(error)) => self.note(&error),
                None if self.consumer.context().seen() == seen => break,
                None => {}
            }
        }
        for result in self.consumer.context().take_commits() {
            let Some((covered, _)) = self.commit_out.take() else { continue };
            match result {
                Ok(()) => {
                    self.commit_refused = None;
                    for (progress, events) in covered {
                        progress.committed(events);
                    }
                }
                Err(code) => {
                    self.commit_refused = Some(code);
                    tracing::debug!(target: "bindwright::kafka", "commit: {code}; it is repeated");
                }
            }
        }
        Ok(())
    }

    pub(super) fn note(&mut self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        let unknown = [RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::UnknownTopic];
        if code.is_some_and(|code| unknown.contains(&code)) {
            self.missing.suspect();
        } else {
            let error = failure::from_kafka(error, "records cannot be read");
            tracing::debug!(target: "bindwright::kafka", "{error}");
            self.shared.status.set(Some(error));
        }
    }

    /// Asks whether a cluster that was away is back: a quiet topic would not tell.
    pub(super) fn probe(&mut self) {
        let topic = self.settings.topics.first().map(String::as_str);
        if self.consumer.fetch_metadata(topic, QUESTION_PATIENCE).is_ok() {
            self.shared.status.set(None);
        }
        self.last_probe = Instant::now();
    }

    /// Fills sources from the partitions' queues; `true` when there is more to read at once.
    fn read_partitions(&mut self) -> bool {
        let mut more = false;
        let mut errors = Vec::new();
        let keys = self.intake.wants_keys();
        for assigned in self.assigned.values() {
            if !assigned.nonempty.load(Ordering::Acquire) {
                continue;
            }
            let room = self.settings.max_uncommitted.saturating_sub(assigned.progress.at_risk());
            if room == 0 {
                continue;
            }
            assigned.nonempty.store(false, Ordering::Release);
            let wanted = room.min(READ_AT_ONCE);
            let mut events = Vec::new();
            while events.len() < wanted {
                match assigned.queue.poll(Duration::ZERO) {
                    Some(Ok(message)) => {
                        events.push(record::event(&message, &assigned.topic, &self.settings, keys));
                    }
                    Some(Err(error)) => errors.push(error),
                    None => break,
                }
            }
            if events.len() == wanted {
                assigned.nonempty.store(true, Ordering::Release);
                more |= wanted < room;
            }
            if !events.is_empty() {
                assigned.progress.read(events.iter().map(|event| event.position));
                assigned.source.push(events);
            }
        }
        for error in errors {
            self.note(&error);
        }
        more
    }

    fn leave(&mut self, deadline: Instant) -> Result<()> {
        self.drain(|_| true, deadline)?;
        self.commit_rest(|_| true, deadline)
    }
}
