//! Looks after partitions that have gone silent: asks the brokers for their newest offsets without waiting for the
//! answer, and has a second reader look at what seems to be stalled. What that means is decided in `stall.rs`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::failure::is_unknown;
use super::ffi::NewestOffsets;
use super::guard::{self, log};
use super::reader::{PartitionKey, Reader};
use super::stall::Verdict;
use crate::error::{Error, ErrorCode, Result};
use crate::runtime;

/// How long the brokers may take to name their newest offsets. Nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a second reader may take to connect and to come to a record or to the end.
const SECOND_PATIENCE: Duration = Duration::from_secs(10);

/// The questions that are out. At most one of each kind.
#[derive(Default)]
pub(super) struct Lookout {
    question: Option<NewestOffsets>,
    second_look: Option<SecondLook>,
}

/// A partition that seems to be stalled, while a second reader looks whether there is a record.
struct SecondLook {
    key: PartitionKey,
    position: i64,
    newest: i64,
    behind: Duration,
    found: Arc<Mutex<Found>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Found {
    #[default]
    NotYet,
    /// The second reader received something that ours did not.
    Record,
    /// It came to the end and received nothing.
    Nothing,
    /// It came to no end in time.
    Unknown,
}

impl Reader {
    /// Ends with an error when a partition has stalled, so that the consumer is replaced. Never waits.
    pub(super) fn look_for_stalls(&mut self, now: Instant) -> Result<()> {
        if self.memory.stalls.is_due(now) {
            self.ask_for_silent_partitions(now);
        }
        if let Some(answer) = self.lookout.question.as_ref().and_then(NewestOffsets::answer) {
            self.lookout.question = None;
            match answer {
                Ok(partitions) => {
                    for (topic, partition, newest) in partitions {
                        match newest {
                            Ok(newest) => self.weigh(now, (topic, partition), newest),
                            Err(code) => self.look_failed(code),
                        }
                    }
                }
                Err(code) => self.look_failed(code),
            }
        }
        self.hear_second_look(now)
    }

    fn ask_for_silent_partitions(&mut self, now: Instant) {
        let most = self.settings.max_uncommitted;
        let assigned =
            self.assigned.iter().map(|(key, assigned)| (key, assigned.position, assigned.has_room(most)));
        let silent = self.memory.stalls.round(now, assigned);
        let mut list = TopicPartitionList::new();
        for (topic, partition) in &silent {
            // Only a topic name with a zero byte is refused, and no broker has such a topic.
            let _ = list.add_partition_offset(topic, *partition, Offset::End);
        }
        if list.count() > 0 && self.lookout.question.is_none() {
            self.lookout.question = Some(NewestOffsets::ask(&self.consumer, &list, PATIENCE));
        }
    }

    /// No answer is no news, and the turn comes again; but a topic that was deleted is noticed by this first.
    fn look_failed(&mut self, code: RDKafkaErrorCode) {
        log!(debug, "the newest offsets cannot be asked for: {code}");
        // "No such entry" is librdkafka's word for partitions that nobody leads.
        if is_unknown(code) || code == RDKafkaErrorCode::NoEnt {
            self.missing.suspect();
        }
    }

    fn weigh(&mut self, now: Instant, key: PartitionKey, newest: i64) {
        let Some(assigned) = self.assigned.get(&key) else { return };
        let position = assigned.position;
        let Verdict::Suspect(behind) = self.memory.stalls.look(now, &key, position, newest) else { return };
        if self.lookout.second_look.is_none() {
            log!(
                debug,
                topic = key.0,
                partition = key.1,
                position,
                newest,
                "perhaps stalled; a second reader looks"
            );
            let found = Arc::new(Mutex::new(Found::NotYet));
            let (config, place, alarm) = (self.config.clone(), key.clone(), self.shared.alarm.clone());
            let result = found.clone();
            let look = move || {
                let seen = guard::caught("a second reader", || look(&config, &place, position));
                *result.lock() = seen.unwrap_or(Found::Unknown);
                alarm.ring();
            };
            if let Ok(runtime) = runtime::handle() {
                runtime.spawn_blocking(look);
                self.lookout.second_look = Some(SecondLook { key, position, newest, behind, found });
            }
        }
    }

    fn hear_second_look(&mut self, now: Instant) -> Result<()> {
        let Some(second) = &self.lookout.second_look else { return Ok(()) };
        let found = *second.found.lock();
        if found == Found::NotYet {
            return Ok(());
        }
        let Some(SecondLook { key, position, newest, behind, .. }) = self.lookout.second_look.take() else {
            return Ok(());
        };
        // It may have gone on meanwhile, or belong to somebody else by now.
        if self.assigned.get(&key).is_none_or(|assigned| assigned.position != position) {
            return Ok(());
        }
        match found {
            Found::Nothing => self.memory.stalls.is_empty(&key, position, newest),
            Found::NotYet | Found::Unknown => {}
            Found::Record => {
                self.memory.stalls.replaced(now, &key, position, newest);
                let (topic, partition) = key;
                log!(
                    warn,
                    topic,
                    partition,
                    position,
                    newest,
                    "reading has stalled: the broker has had records for at least {behind:?}, and none came"
                );
                return Err(Error::new(
                    ErrorCode::Unavailable,
                    format!("reading of {topic}[{partition}] has stalled at offset {position} of {newest}"),
                ));
            }
        }
        Ok(())
    }
}

/// The context of a second reader, which keeps its worries to itself.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Silent {}

/// Reads a partition from a position with a connection of its own and without joining the group. Blocks.
fn look(config: &ClientConfig, (topic, partition): &PartitionKey, position: i64) -> Found {
    let mut config = config.clone();
    config.set("enable.partition.eof", "true").set("allow.auto.create.topics", "false");
    let mut place = TopicPartitionList::new();
    let Ok(reader) = BaseConsumer::from_config_and_context(&config, Silent) else { return Found::Unknown };
    if place.add_partition_offset(topic, *partition, Offset::Offset(position)).is_err()
        || reader.assign(&place).is_err()
    {
        return Found::Unknown;
    }
    let deadline = Instant::now() + SECOND_PATIENCE;
    while Instant::now() < deadline {
        match reader.poll(Duration::from_millis(100)) {
            // A lower offset means that the topic was made anew: there is something to be read in any case.
            Some(Ok(message)) => {
                let offset = message.offset();
                log!(debug, topic, partition, offset, "a second reader found a record");
                return Found::Record;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Found::Nothing,
            Some(Err(_)) | None => {}
        }
    }
    Found::Unknown
}
