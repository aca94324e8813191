//! The thread that owns a consumer: reads partitions into lanes, commits what was settled, hands partitions over.
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
use rdkafka::consumer::{Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::assignment::{Positions, start_positions};
use super::consumer::{self, Context, KafkaConsumer, QUESTION_PATIENCE, Rebalance, Status};
use super::missing::MissingTopics;
use super::progress::{Alarm, Progress};
use super::settings::KafkaSettings;
use super::{failure, ffi, record};
use crate::dispatch::{Intake, Lane};
use crate::error::{Error, ErrorCode, Result};

/// The longest the thread sleeps; commits of a quiet topic and the group's own timers need no better.
const TICK: Duration = Duration::from_millis(100);
/// Records taken from one partition before the next has its turn.
const READ_AT_ONCE: usize = 512;
/// How often a cluster that was away is asked whether it is back.
const PROBE_PAUSE: Duration = Duration::from_secs(1);
/// How long a last commit may take when handlers used up the time.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);
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
struct Shared {
    alarm: Arc<Alarm>,
    status: Arc<Status>,
    stop_by: Mutex<Option<Instant>>,
}

impl ReaderHandle {
    pub(super) fn last_error(&self) -> Option<Error> {
        self.shared.status.last_error()
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
struct Assigned {
    topic: Arc<str>,
    queue: PartitionQueue<Context>,
    /// The queue may have something.
    nonempty: Arc<AtomicBool>,
    lane: Lane,
    progress: Arc<Progress>,
}

/// How a commit ended.
enum Commit {
    Done,
    Refused(RDKafkaErrorCode),
    Unanswered,
}

/// Why a consumer was given up.
enum Ended {
    Stopped(Result<()>),
    Broken(Error),
}

type PartitionKey = (String, i32);
/// What a commit covers: so many events of each partition.
type Covered = Vec<(Arc<Progress>, usize)>;

pub(super) struct Reader {
    consumer: Arc<KafkaConsumer>,
    settings: Arc<KafkaSettings>,
    intake: Intake,
    shared: Arc<Shared>,
    assigned: BTreeMap<PartitionKey, Assigned>,
    /// The commit that is on its way: what it covers, and since when.
    commit_out: Option<(Covered, Instant)>,
    /// Why the last commit that was answered failed.
    commit_refused: Option<RDKafkaErrorCode>,
    last_commit: Instant,
    missing: MissingTopics,
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
    fn serve_main_queue(&mut self) -> Result<()> {
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

    fn note(&mut self, error: &KafkaError) {
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
    fn probe(&mut self) {
        let topic = self.settings.topics.first().map(String::as_str);
        if self.consumer.fetch_metadata(topic, QUESTION_PATIENCE).is_ok() {
            self.shared.status.set(None);
        }
        self.last_probe = Instant::now();
    }

    /// Takes partitions on: first their start positions are safe, then they are read.
    fn assign(&mut self, list: &TopicPartitionList) -> Result<()> {
        let Some(positions) = self.resolve(list)? else { return Ok(()) };
        let mut assignment = TopicPartitionList::new();
        for ((topic, number), offset) in positions {
            let broken = |error: KafkaError| failure::from_kafka(&error, "a partition cannot be assigned");
            assignment.add_partition_offset(&topic, number, Offset::Offset(offset)).map_err(broken)?;
            self.open_partition(topic, number);
        }
        let taken = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.consumer.incremental_assign(&assignment),
            _ => self.consumer.assign(&assignment),
        };
        taken.map_err(|error| failure::from_kafka(&error, "the partitions cannot be assigned"))?;
        self.shared.status.set(None);
        self.missing.look_again();
        tracing::debug!(target: "bindwright::kafka", partitions = assignment.count(), "partitions assigned");
        Ok(())
    }

    /// Start positions, asked for until they are known; none when the group changed its mind or the client stops.
    fn resolve(&mut self, list: &TopicPartitionList) -> Result<Option<Positions>> {
        let since = Instant::now();
        loop {
            let alone = since.elapsed() >= self.settings.session_timeout;
            match start_positions(&self.consumer, list, self.settings.initial_offset, alone) {
                Ok(None) => {}
                Ok(Some((positions, first))) if first.count() == 0 => return Ok(Some(positions)),
                Ok(Some((positions, first))) => {
                    let patience = Instant::now() + self.settings.session_timeout;
                    if let Commit::Done = self.commit_and_wait(&first, Vec::new(), patience)? {
                        return Ok(Some(positions));
                    }
                }
                Err(error) => self.note(&error),
            }
            self.serve_main_queue()?;
            if self.consumer.context().has_rebalances() || self.shared.stop_by.lock().is_some() {
                return Ok(None);
            }
            self.shared.alarm.wait(TICK);
        }
    }

    fn open_partition(&mut self, topic: String, number: i32) {
        let Some(mut queue) = self.consumer.split_partition_queue(&topic, number) else {
            // Only a topic name with a zero byte has no queue, and no broker has such a topic.
            return;
        };
        let nonempty = Arc::new(AtomicBool::new(true));
        let (flag, alarm) = (nonempty.clone(), self.shared.alarm.clone());
        queue.set_nonempty_callback(move || {
            flag.store(true, Ordering::Release);
            alarm.ring();
        });
        let progress = Progress::new(self.shared.alarm.clone(), self.settings.max_uncommitted / 4);
        let lane = self.intake.open_lane(progress.clone(), self.settings.backoff);
        let assigned = Assigned { topic: topic.as_str().into(), queue, nonempty, lane, progress };
        self.assigned.insert((topic, number), assigned);
    }

    /// Gives partitions back: handlers that run may finish, then what they settled is committed.
    fn revoke(&mut self, list: &TopicPartitionList) -> Result<()> {
        let cooperative = matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let keys: Vec<PartitionKey> =
            list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect();
        let deadline = Instant::now() + self.settings.session_timeout;
        let settled = self.drain(|key| keys.contains(key), deadline);
        let committed = settled.and_then(|()| {
            // Whoever lost its membership has nothing to say about the partitions any more.
            if self.consumer.assignment_lost() {
                Ok(())
            } else {
                self.commit_rest(|key| keys.contains(key), deadline)
            }
        });
        if let Err(error) = committed {
            tracing::warn!(target: "bindwright::kafka", "partitions were handed over, and some events will be \
                delivered again: {error}");
        }
        self.assigned.retain(|key, _| !keys.contains(key));
        let given =
            if cooperative { self.consumer.incremental_unassign(list) } else { self.consumer.unassign() };
        tracing::debug!(target: "bindwright::kafka", partitions = keys.len(), "partitions given back");
        given.map_err(|error| failure::from_kafka(&error, "the partitions cannot be given back"))
    }

    /// Stops handing out and waits for the handlers of some partitions.
    fn drain(&mut self, which: impl Fn(&PartitionKey) -> bool, deadline: Instant) -> Result<()> {
        for (_, assigned) in self.assigned.iter().filter(|(key, _)| which(key)) {
            assigned.progress.set_eager(true);
            assigned.lane.close();
        }
        let busy = |reader: &Self| {
            reader.assigned.iter().any(|(key, assigned)| which(key) && assigned.lane.outstanding() > 0)
        };
        while busy(self) && !self.is_over(deadline, Duration::ZERO) {
            self.serve_main_queue()?;
            self.shared.alarm.wait(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Commits what is settled in some partitions and waits for the answer.
    fn commit_rest(&mut self, which: impl Fn(&PartitionKey) -> bool, deadline: Instant) -> Result<()> {
        // At least a short while for the commit itself, also when handlers used up the time.
        let deadline = deadline.max(Instant::now() + COMMIT_PATIENCE);
        loop {
            let (list, covered) = self.uncommitted(&which);
            if list.count() == 0 {
                return Ok(());
            }
            let what = "settled events could not be committed and will be delivered again";
            match self.commit_and_wait(&list, covered, deadline)? {
                Commit::Done => return Ok(()),
                // Whoever lost its place in the group need not ask again.
                Commit::Refused(
                    code @ (RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::FencedInstanceId),
                ) => return Err(failure::from_code(code, what)),
                Commit::Refused(code) if self.is_over(deadline, COMMIT_PATIENCE) => {
                    return Err(failure::from_code(code, what));
                }
                Commit::Unanswered if self.is_over(deadline, COMMIT_PATIENCE) => {
                    return Err(Error::new(ErrorCode::Unavailable, what));
                }
                Commit::Refused(_) | Commit::Unanswered => {}
            }
            self.shared.alarm.wait(TICK);
        }
    }

    fn uncommitted(&self, which: &impl Fn(&PartitionKey) -> bool) -> (TopicPartitionList, Covered) {
        let mut list = TopicPartitionList::new();
        let mut covered = Vec::new();
        for ((topic, number), assigned) in self.assigned.iter().filter(|(key, _)| which(key)) {
            if let Some((offset, events)) = assigned.progress.to_commit()
                && list.add_partition_offset(topic, *number, Offset::Offset(offset)).is_ok()
            {
                covered.push((assigned.progress.clone(), events));
            }
        }
        (list, covered)
    }

    /// Whether waiting has an end: at the deadline, or earlier when the reader is stopped, `grace` after the time that
    /// was given for that.
    fn is_over(&self, deadline: Instant, grace: Duration) -> bool {
        let now = Instant::now();
        now >= deadline || self.shared.stop_by.lock().is_some_and(|stop_by| now >= stop_by + grace)
    }

    /// Commits and waits until the answer is there, at most until the deadline.
    fn commit_and_wait(
        &mut self,
        list: &TopicPartitionList,
        covered: Covered,
        deadline: Instant,
    ) -> Result<Commit> {
        while self.commit_out.is_some() && !self.is_over(deadline, COMMIT_PATIENCE) {
            self.shared.alarm.wait(Duration::from_millis(20));
            self.serve_main_queue()?;
        }
        if let Err(code) = self.begin_commit(list, covered) {
            return Ok(Commit::Refused(code));
        }
        while self.commit_out.is_some() && !self.is_over(deadline, COMMIT_PATIENCE) {
            self.shared.alarm.wait(Duration::from_millis(20));
            self.serve_main_queue()?;
        }
        Ok(match (&self.commit_out, self.commit_refused) {
            (Some(_), _) => Commit::Unanswered,
            (None, Some(code)) => Commit::Refused(code),
            (None, None) => Commit::Done,
        })
    }

    fn begin_commit(&mut self, list: &TopicPartitionList, covered: Covered) -> Result<(), RDKafkaErrorCode> {
        self.last_commit = Instant::now();
        self.commit_refused = None;
        ffi::commit(&self.consumer, list)
            .inspect_err(|code| tracing::debug!(target: "bindwright::kafka", "commit: {code}"))?;
        self.commit_out = Some((covered, Instant::now()));
        Ok(())
    }

    /// Fills lanes from the partitions' queues; `true` when there is more to read at once.
    fn read_partitions(&mut self) -> bool {
        let mut more = false;
        let mut errors = Vec::new();
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
                        events.push(record::event(&message, &assigned.topic, &self.settings));
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
                assigned.lane.push(events);
            }
        }
        for error in errors {
            self.note(&error);
        }
        more
    }

    fn commit_if_due(&mut self) {
        if let Some((_, since)) = &self.commit_out {
            // An answer that never comes must not end all commits; a late one is then taken for a newer commit's,
            // which only covers less.
            if since.elapsed() < self.settings.session_timeout {
                return;
            }
            self.commit_out = None;
        }
        let step = (self.settings.max_uncommitted / 4).max(1);
        let due = self.last_commit.elapsed() >= TICK
            || self
                .assigned
                .values()
                .any(|assigned| assigned.progress.to_commit().is_some_and(|(_, events)| events >= step));
        if !due {
            return;
        }
        let (list, covered) = self.uncommitted(&|_| true);
        if list.count() > 0 {
            // Repeated at the next tick where it does not begin.
            let _ = self.begin_commit(&list, covered);
        }
    }

    fn leave(&mut self, deadline: Instant) -> Result<()> {
        self.drain(|_| true, deadline)?;
        self.commit_rest(|_| true, deadline)
    }
}
