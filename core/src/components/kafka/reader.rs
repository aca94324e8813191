//! The thread that owns a consumer: reads partitions into sources, commits what was settled, hands partitions over.
//!
//! Every partition has a queue of its own inside librdkafka. A partition whose handler is slow is simply not drained:
//! pausing it would throw prefetched records away, and not polling at all would cost the consumer its membership.

use std::collections::BTreeMap;
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::assigned::Assigned;
use super::avro::Incoming;
use super::commits::CommitOut;
use super::consumer::{self, KafkaConsumer, QUESTION_PATIENCE, Rebalance, Status};
use super::guard::log;
use super::life::{Life, Memory};
use super::lookout::Lookout;
use super::missing::MissingTopics;
use super::progress::{Alarm, Progress};
use super::settings::KafkaSettings;
use super::{failure, record};
use crate::dispatch::Intake;
use crate::error::{Error, ErrorCode, Result};
use crate::health::Health;
use crate::{process, runtime};

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
    process: u32,
    pub(super) shared: Arc<Shared>,
    /// Tells how reading ended, and breaks when the thread is gone.
    told: Mutex<mpsc::Receiver<Result<()>>>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) alarm: Arc<Alarm>,
    pub(super) status: Arc<Status>,
    pub(super) stop_by: Mutex<Option<Instant>>,
    /// Makes the reader panic once.
    #[cfg(test)]
    pub(super) panics: AtomicBool,
}

impl ReaderHandle {
    pub(super) fn health(&self) -> Health {
        self.shared.status.health()
    }

    /// Ends the reader; see [`Reading::stop`](crate::binding::Reading::stop). Blocks.
    pub(super) fn stop(self, deadline: Instant) -> Result<()> {
        if self.process != process::id() {
            return Err(Error::new(ErrorCode::Forked, "the reader belongs to the parent process"));
        }
        *self.shared.stop_by.lock() = Some(deadline);
        self.shared.alarm.ring();
        let told = self.told.into_inner();
        let Ok(result) = told.recv() else {
            return Err(Error::new(ErrorCode::Internal, "the reader panicked"));
        };
        if let Err(mpsc::RecvTimeoutError::Timeout) = told.recv_timeout(GOODBYE) {
            log!(debug, "the group is left in the background");
        }
        result
    }
}

/// Why a consumer was given up.
pub(super) enum Ended {
    Stopped(Result<()>),
    Broken(Error),
}

pub(super) type PartitionKey = (String, i32);
/// What a commit covers: so many events of each partition.
pub(super) type Covered = Vec<(Arc<Progress>, usize)>;

pub(super) struct Reader {
    pub(super) consumer: Arc<KafkaConsumer>,
    pub(super) config: ClientConfig,
    pub(super) settings: Arc<KafkaSettings>,
    pub(super) intake: Intake,
    pub(super) shared: Arc<Shared>,
    incoming: Option<Incoming>,
    pub(super) assigned: BTreeMap<PartitionKey, Assigned>,
    pub(super) commit_out: Option<CommitOut>,
    /// Why the last commit that was answered failed.
    pub(super) commit_refused: Option<RDKafkaErrorCode>,
    pub(super) last_commit: Instant,
    pub(super) missing: MissingTopics,
    pub(super) memory: Memory,
    pub(super) lookout: Lookout,
    last_probe: Instant,
    /// It was logged that the cluster is away.
    told_away: bool,
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
        let consumer = consumer::start(config, &shared.alarm, &shared.status)?;
        let (tell, told) = mpsc::channel();
        let runtime = runtime::handle()?;
        let incoming = Incoming::new(&settings.schemas, &runtime, &shared.alarm, &shared.status)?;
        let life = Life { config: config.clone(), settings, intake, shared: shared.clone(), incoming, tell };
        std::thread::Builder::new()
            .name("bindwright-read".to_owned())
            .spawn(move || life.live(consumer))
            .map_err(|error| Error::new(ErrorCode::Internal, format!("no thread to read with: {error}")))?;
        Ok(ReaderHandle { process: process::id(), shared, told: Mutex::new(told) })
    }

    pub(super) fn new(life: &Life, consumer: Arc<KafkaConsumer>, memory: Memory) -> Self {
        let now = Instant::now();
        Self {
            consumer,
            config: life.config.clone(),
            settings: life.settings.clone(),
            intake: life.intake.clone(),
            shared: life.shared.clone(),
            incoming: life.incoming.clone(),
            assigned: BTreeMap::new(),
            commit_out: None,
            commit_refused: None,
            last_commit: now,
            missing: MissingTopics::default(),
            memory,
            lookout: Lookout::default(),
            last_probe: now,
            told_away: false,
        }
    }

    /// Gives the consumer up, which leaves the group.
    pub(super) fn end(mut self) -> Memory {
        // Lanes and queues go before the consumer; its own drop then leaves the group without asking anybody.
        self.assigned.clear();
        self.lookout = Lookout::default();
        self.consumer.context().begin_closing();
        self.memory
    }

    pub(super) fn read_until_ended(&mut self) -> Ended {
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
        #[cfg(test)]
        assert!(!self.shared.panics.swap(false, Ordering::AcqRel), "made by a test");
        self.serve_main_queue()?;
        for rebalance in self.consumer.context().take_rebalances() {
            match rebalance {
                Rebalance::Assign(list) => self.assign(&list)?,
                Rebalance::Revoke(list) => self.revoke(&list)?,
            }
        }
        let more = self.read_partitions()?;
        let now = Instant::now();
        self.commit_if_due(now);
        self.look_for_stalls(now)?;
        if self.missing.is_due() {
            let appeared = self.missing.look(&self.consumer, &self.settings.topics, &self.shared.status);
            self.topics_changed(appeared)?;
        }
        if !self.shared.status.is_unavailable() {
            self.cluster_is_back();
        } else if self.last_probe.elapsed() >= PROBE_PAUSE {
            self.probe();
        }
        if !more {
            self.shared.alarm.wait(TICK);
        }
        Ok(())
    }

    /// Topics that were missing are there, or topics that were there are missing.
    fn topics_changed(&mut self, appeared: bool) -> Result<()> {
        let deleted = |topic: &&String| self.assigned.keys().any(|(assigned, _)| assigned == *topic);
        if let Some(topic) = self.missing.topics().iter().find(deleted) {
            // librdkafka does not notice soon. If the topic is made anew it would go on where it was, in the middle.
            let what = format!("topic {topic:?} was deleted");
            return Err(failure::from_code(RDKafkaErrorCode::UnknownTopicOrPartition, &what));
        }
        // Gives the partitions of the other topics back for a moment, so only when there is a reason.
        if appeared && let Err(error) = self.subscribe() {
            log!(debug, "{error}");
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
        self.hear_commits();
        Ok(())
    }

    pub(super) fn note(&mut self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        if code.is_some_and(failure::is_unknown) {
            self.missing.suspect();
        } else {
            let error = failure::from_kafka(error, "records cannot be read");
            // The client library repeats itself many times a second.
            if !self.shared.status.is_unavailable() || error.code() != ErrorCode::Unavailable {
                log!(debug, "{error}");
            }
            self.shared.status.set(Some(error));
        }
    }

    /// Asks whether a cluster that was away is back: a quiet topic would not tell.
    pub(super) fn probe(&mut self) {
        let topic = self.settings.topics.first().map(String::as_str);
        if self.consumer.fetch_metadata(topic, QUESTION_PATIENCE).is_ok() {
            self.shared.status.set(None);
        } else if !std::mem::replace(&mut self.told_away, true)
            && let Some(error) = self.shared.status.health().error
        {
            // Only now: one address of several that does not answer is no trouble yet.
            let topics = self.settings.topics.join(", ");
            log!(warn, topics, "the cluster is away, and events come when it is back: {error}");
        }
        self.last_probe = Instant::now();
    }

    fn cluster_is_back(&mut self) {
        if std::mem::replace(&mut self.told_away, false) {
            log!(info, "the cluster is back");
        }
    }

    /// Fills sources from the partitions' queues; `true` when there is more to read at once.
    fn read_partitions(&mut self) -> Result<bool> {
        let mut more = false;
        let mut errors = Vec::new();
        let keys = self.intake.wants_keys();
        for ((_, number), assigned) in &mut self.assigned {
            if !assigned.held.is_empty() {
                more |= assigned.decode_held(self.incoming.as_mut());
            }
            if !assigned.nonempty.load(Ordering::Acquire) || !assigned.held.is_empty() {
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
            if let (Some(first), Some(last)) = (events.first(), events.last()) {
                if first.position != assigned.position {
                    assigned.notice_jump(&self.consumer, *number, first.position)?;
                }
                assigned.position = last.position + 1;
                assigned.fresh = false;
                assigned.progress.read(events.iter().map(|event| event.position));
                if self.incoming.is_some() {
                    assigned.held.extend(events);
                    more |= assigned.decode_held(self.incoming.as_mut());
                } else {
                    assigned.source.push(events);
                }
            }
        }
        if let Some(incoming) = &self.incoming
            && self.assigned.values().all(|assigned| assigned.held.is_empty())
        {
            incoming.nothing_waits();
        }
        for error in errors {
            self.note(&error);
        }
        Ok(more)
    }

    fn leave(&mut self, deadline: Instant) -> Result<()> {
        self.drain(|_| true, deadline)?;
        self.commit_rest(|_| true, deadline)
    }
}
