//! A component's topics for those who only look on, and what they remember in the offsets of a group of their own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::asking::Asking;
use super::ffi::describe::{self, Spot};
use super::settings::KafkaSettings;
use super::{failure, record};
use crate::error::{Error, ErrorCode, Result};
use crate::inspect::{Bookmark, Extent, Feed, Journal, Keeper, Next, Partition, Record};
use crate::manifest::Component;

/// The group that is named where a component has none; nobody joins it.
const NO_GROUP: &str = "bindwright";
/// How long a member that was killed is remembered. Brokers allow no less than 6 seconds.
const SESSION: Duration = Duration::from_secs(6);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The topics of one component.
pub(super) struct KafkaJournal {
    settings: Arc<KafkaSettings>,
    /// A client for each topic, because the end of a partition comes without the topic's name.
    topics: Vec<(Arc<str>, Asking)>,
    /// Which one is asked first.
    turn: usize,
    patience: Duration,
    partitions: Vec<Partition>,
}

impl KafkaJournal {
    pub(super) fn open(
        component: &Component,
        feed: Feed,
        patience: Duration,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Self> {
        let (mut settings, _) = KafkaSettings::decode(component)?;
        // What is looked at is shown, or sent back, as it is.
        settings.escape_headers = false;
        settings.exclude_headers = None;
        let settings = Arc::new(settings);
        let receives = feed != Feed::Sent && component.direction.input && !settings.topics.is_empty();
        let names = match &settings.publish_topic {
            _ if receives => settings.topics.clone(),
            Some(topic) if feed != Feed::Received => vec![topic.clone()],
            _ => {
                let message = "the component has no topic to look at";
                return Err(Error::new(ErrorCode::InvalidSettings, message)
                    .place(component.place.clone())
                    .advice("Set `topics` or `publishTopic` in its document."));
            }
        };
        let group = settings.consumer_group.clone().unwrap_or_else(|| NO_GROUP.to_owned());
        let options = [("enable.partition.eof", "true"), ("fetch.wait.max.ms", "50")];
        let (mut topics, mut partitions) = (Vec::new(), Vec::new());
        for name in names {
            let asking = Asking::open(&settings, &group, &options)?;
            let topic: Arc<str> = name.into();
            let count = partitions_of(&asking, &topic, Instant::now() + patience, interrupted)?;
            partitions.extend((0..count).map(|number| Partition { topic: topic.clone(), number }));
            topics.push((topic, asking));
        }
        Ok(Self { settings, topics, turn: 0, patience, partitions })
    }

    fn asking(&self, topic: &str) -> Option<&Asking> {
        self.topics.iter().find(|(known, _)| **known == *topic).map(|(_, asking)| asking)
    }

    fn list(&self, topic: &str) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in self.partitions.iter().filter(|partition| *partition.topic == *topic) {
            list.add_partition(topic, partition.number);
        }
        list
    }
}

/// How many partitions a topic has.
pub(super) fn partitions_of(
    asking: &Asking,
    topic: &str,
    deadline: Instant,
    interrupted: &dyn Fn() -> bool,
) -> Result<i32> {
    let metadata = asking.metadata(Some(topic), deadline, interrupted)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let code = match found.map(|found| (found.error(), found.partitions().len())) {
        Some((None, count)) if count > 0 => return Ok(i32::try_from(count).unwrap_or(i32::MAX)),
        Some((Some(code), _)) => code.into(),
        _ => RDKafkaErrorCode::UnknownTopicOrPartition,
    };
    let what = if failure::is_unknown(code) { "does not exist" } else { "cannot be used" };
    Err(failure::from_code(code, &format!("topic {topic:?} {what}")))
}

impl Journal for KafkaJournal {
    fn extents(&mut self) -> Result<Vec<Extent>> {
        let mut extents = Vec::with_capacity(self.partitions.len());
        for (topic, asking) in &self.topics {
            let list = self.list(topic);
            let ask = |spot| {
                let what = format!("the offsets of topic {topic:?} cannot be had");
                describe::spots(asking.client(), &list, spot, self.patience)
                    .map_err(|refusal| Asking::refused(&refusal, &what))
            };
            let (oldest, newest) = (ask(Spot::Oldest)?, ask(Spot::Newest)?);
            for partition in self.partitions.iter().filter(|partition| partition.topic == *topic) {
                let of = |found: &[describe::SpotFound]| {
                    let found = found.iter().find(|(_, number, _)| *number == partition.number);
                    let answer = found.map_or(Err(RDKafkaErrorCode::NoEnt), |(_, _, answer)| *answer);
                    let what = format!("the offsets of {partition} cannot be had");
                    answer.map(|(offset, _)| offset).map_err(|code| failure::from_code(code, &what))
                };
                let (oldest, end) = (of(&oldest)?, of(&newest)?);
                extents.push(Extent { partition: partition.clone(), oldest, end });
            }
        }
        Ok(extents)
    }

    fn start(&mut self, from: &[(Partition, i64)]) -> Result<()> {
        for (topic, asking) in &self.topics {
            let mut list = TopicPartitionList::new();
            for (partition, offset) in from.iter().filter(|(partition, _)| partition.topic == *topic) {
                list.add_partition_offset(topic, partition.number, Offset::Offset(*offset))
                    .map_err(|error| failure::from_kafka(&error, "no such place"))?;
            }
            asking
                .consumer
                .assign(&list)
                .map_err(|error| failure::from_kafka(&error, "the topic cannot be read"))?;
        }
        Ok(())
    }

    fn next(&mut self, patience: Duration) -> Result<Next> {
        let deadline = Instant::now() + patience;
        // Whoever waits for one of several topics must not sleep through the others.
        let several = self.topics.len() > 1;
        loop {
            for _ in 0..self.topics.len() {
                self.turn = (self.turn + 1) % self.topics.len();
                let (topic, asking) = &self.topics[self.turn];
                let left = deadline.saturating_duration_since(Instant::now());
                let wait = if several { left.min(Duration::from_millis(5)) } else { left };
                let answer = asking.consumer.poll(wait);
                let place = |number| Partition { topic: topic.clone(), number };
                match answer {
                    None => {}
                    Some(Ok(message)) => {
                        let event = record::event(&message, topic, &self.settings, false);
                        let partition = place(message.partition());
                        return Ok(Next::Record(Record::new(
                            partition,
                            message.offset(),
                            event.body,
                            event.metadata,
                        )));
                    }
                    Some(Err(KafkaError::PartitionEOF(number))) => return Ok(Next::AtEnd(place(number))),
                    Some(Err(error)) => check(&error, topic)?,
                }
            }
            if Instant::now() >= deadline {
                return Ok(Next::Nothing);
            }
        }
    }

    fn bookmarks(&mut self, name: &str) -> Result<Vec<Bookmark>> {
        let mut bookmarks = Vec::new();
        for (topic, _) in &self.topics {
            // The group is part of a client's options.
            let asking = Asking::open(&self.settings, name, &[])?;
            let what = format!("the offsets of group {name:?} cannot be had");
            let found = asking.consumer.committed_offsets(self.list(topic), self.patience);
            let found = found.map_err(|error| failure::from_kafka(&error, &what))?;
            for one in found.elements() {
                one.error().map_err(|error| failure::from_kafka(&error, &what))?;
                if let Offset::Offset(offset) = one.offset() {
                    let partition = Partition { topic: topic.clone(), number: one.partition() };
                    bookmarks.push(Bookmark { partition, offset, note: one.metadata().to_owned() });
                }
            }
        }
        Ok(bookmarks)
    }

    fn keeper(&mut self, name: &str, interrupted: &dyn Fn() -> bool) -> Result<Box<dyn Keeper>> {
        let topics: Vec<_> = self.topics.iter().map(|(topic, _)| topic.clone()).collect();
        let first = topics.first().and_then(|topic| self.asking(topic));
        let Some(asking) = first else { return Err(Error::new(ErrorCode::Internal, "there is no topic")) };
        // As long as a group remembers a member that was killed, and some time to join.
        let deadline = Instant::now() + SESSION + self.patience;
        wait_for_turn(asking, name, deadline, self.patience, interrupted)?;
        let keeper = KafkaKeeper::join(&self.settings, name, &topics)?;
        keeper.wait_for_all(self.partitions.len(), Instant::now() + SESSION + self.patience, interrupted)?;
        Ok(Box::new(keeper))
    }
}

/// What ends looking on; a cluster that is away for a while does not.
fn check(error: &KafkaError, topic: &str) -> Result<()> {
    use RDKafkaErrorCode as Kafka;
    let lasts = matches!(
        error.rdkafka_error_code(),
        Some(
            Kafka::TopicAuthorizationFailed
                | Kafka::Authentication
                | Kafka::SaslAuthenticationFailed
                | Kafka::UnknownTopicOrPartition
                | Kafka::UnknownTopic
                | Kafka::UnknownPartition
        )
    );
    if !lasts {
        return Ok(());
    }
    Err(failure::from_kafka(error, &format!("topic {topic:?} cannot be read")))
}

/// Waits until a group has no members: until others have ended, or were forgotten.
fn wait_for_turn(
    asking: &Asking,
    group: &str,
    deadline: Instant,
    patience: Duration,
    interrupted: &dyn Fn() -> bool,
) -> Result<()> {
    loop {
        let described = match describe::group(asking.client(), group, patience) {
            Ok(described) => described,
            // A small broker that does not know the question; joining will tell.
            Err(refusal) if refusal.code == RDKafkaErrorCode::UnsupportedFeature => return Ok(()),
            Err(refusal) => {
                return Err(Asking::refused(&refusal, &format!("group {group:?} cannot be looked at")));
            }
        };
        let Some((client, host)) = described.members.first() else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(taken(group).note(&format!("it is {client} on {host}")));
        }
        if interrupted() {
            return Err(Error::new(ErrorCode::Cancelled, "it was interrupted"));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn taken(group: &str) -> Error {
    Error::new(ErrorCode::Unavailable, format!("another run settles these dead letters (group {group:?})"))
        .advice("Wait until it has ended; one that was killed is forgotten after a few seconds.")
}

/// A member of the group that is its only one.
struct KafkaKeeper {
    asking: Asking,
    group: String,
}

impl KafkaKeeper {
    fn join(settings: &Arc<KafkaSettings>, group: &str, topics: &[Arc<str>]) -> Result<Self> {
        let session = SESSION.as_millis().to_string();
        let options = [
            ("session.timeout.ms", session.as_str()),
            ("heartbeat.interval.ms", "1500"),
            ("partition.assignment.strategy", "range"),
            ("client.id", "bindwright-dlq"),
        ];
        let asking = Asking::open(settings, group, &options)?;
        let topics: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
        asking
            .consumer
            .subscribe(&topics)
            .map_err(|error| failure::from_kafka(&error, "the group cannot be joined"))?;
        Ok(Self { asking, group: group.to_owned() })
    }

    /// Somebody who joins at the same time gets a part of the partitions: then nobody has the right.
    fn wait_for_all(
        &self,
        partitions: usize,
        deadline: Instant,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<()> {
        loop {
            self.poll(LOOK_AGAIN)?;
            match *self.asking.consumer.context().given.lock() {
                Some(count) if count == partitions => return Ok(()),
                Some(_) => return Err(taken(&self.group)),
                None if interrupted() => return Err(Error::new(ErrorCode::Cancelled, "it was interrupted")),
                None if Instant::now() >= deadline => {
                    let message = format!("the group {:?} cannot be joined", self.group);
                    return Err(self
                        .asking
                        .heard()
                        .unwrap_or_else(|| Error::new(ErrorCode::Timeout, message)));
                }
                None => {}
            }
        }
    }

    fn poll(&self, patience: Duration) -> Result<()> {
        match self.asking.consumer.poll(patience) {
            Some(Err(error))
                if matches!(
                    error.rdkafka_error_code(),
                    Some(
                        RDKafkaErrorCode::GroupAuthorizationFailed
                            | RDKafkaErrorCode::Authentication
                            | RDKafkaErrorCode::SaslAuthenticationFailed
                    )
                ) =>
            {
                let what = format!("the group {:?} cannot be joined", self.group);
                Err(failure::from_kafka(&error, &what))
            }
            _ => Ok(()),
        }
    }
}

impl Keeper for KafkaKeeper {
    fn write(&mut self, bookmarks: &[Bookmark]) -> Result<()> {
        self.tend()?;
        let mut list = TopicPartitionList::new();
        for Bookmark { partition, offset, note } in bookmarks {
            let mut one = list.add_partition(&partition.topic, partition.number);
            one.set_offset(Offset::Offset(*offset))
                .map_err(|error| failure::from_kafka(&error, "an offset cannot be remembered"))?;
            one.set_metadata(note);
        }
        let what = "what is done cannot be remembered";
        self.asking
            .consumer
            .commit(&list, CommitMode::Sync)
            .map_err(|error| failure::from_kafka(&error, what))
    }

    fn tend(&mut self) -> Result<()> {
        self.poll(Duration::ZERO)?;
        let has_it = self.asking.consumer.context().given.lock().is_some();
        if has_it { Ok(()) } else { Err(taken(&self.group).note("this one lost its turn")) }
    }
}
