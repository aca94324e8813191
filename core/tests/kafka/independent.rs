//! What Kafka itself says, asked with a client of the tests' own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication, TopicResult};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::fixture::{Fixture, PATIENCE, until};

/// One try of something that may be tried again.
const ATTEMPT: Duration = Duration::from_secs(15);

const PATIENT: rdkafka::util::Timeout = rdkafka::util::Timeout::After(Duration::from_secs(10));

/// A record as it stands in the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Raw {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().expect("a value")).into_owned()
    }
}

impl Fixture {
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().expect("admin client")
    }

    pub async fn create_topic(&self, partitions: i32) {
        self.create_topic_with(partitions, 1, &[]).await;
    }

    pub async fn create_topic_with(&self, partitions: i32, copies: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(&self.topic, partitions, TopicReplication::Fixed(copies));
        for (name, value) in settings {
            topic = topic.set(name, value);
        }
        let (topics, patient) = ([topic], AdminOptions::new().request_timeout(Some(ATTEMPT)));
        let deadline = Instant::now() + 2 * PATIENCE;
        // A broker that has just started on a busy machine may take its time.
        let made = loop {
            match self.admin().create_topics(&topics, &patient).await {
                Ok(made) => break made,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        };
        let exists = |made: &TopicResult| matches!(made, Err((_, RDKafkaErrorCode::TopicAlreadyExists)));
        assert!(made[0].is_ok() || exists(&made[0]), "{made:?}");
        // Created is not yet led.
        until("every partition has a leader", async || self.leaders().await.len() == partitions as usize)
            .await;
    }

    pub async fn delete_topic(&self) {
        let deleted =
            self.admin().delete_topics(&[&self.topic], &AdminOptions::new()).await.expect("answered");
        assert!(deleted[0].is_ok(), "{deleted:?}");
        until("nobody leads it any more", async || self.leaders().await.is_empty()).await;
    }

    /// Deletes the first records of the first partition, as retention would.
    pub async fn delete_records_before(&self, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, 0, Offset::Offset(offset)).expect("added");
        let deleted = self.admin().delete_records(&list, &AdminOptions::new()).await.expect("answered");
        deleted.elements()[0].error().expect("deleted");
    }

    /// Commits an offset of the first partition for the group, which has no members.
    pub async fn commit(&self, offset: i64) {
        let mut config = self.config();
        config.set("group.id", &self.group);
        let topic = self.topic.clone();
        let committed = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().expect("consumer");
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, 0, Offset::Offset(offset)).expect("added");
            consumer.commit(&list, CommitMode::Sync).expect("committed");
        });
        committed.await.expect("committed");
    }

    /// The first partition gets these texts, each in a transaction of its own that is committed or aborted.
    pub async fn produce_in_transactions(&self, texts: &'static [(&'static str, bool)]) {
        let (mut config, topic) = (self.config(), self.topic.clone());
        config.set("transactional.id", &self.topic);
        let sent = tokio::task::spawn_blocking(move || {
            let producer: BaseProducer = config.create().expect("producer");
            producer.init_transactions(PATIENT).expect("allowed");
            for (text, commits) in texts {
                producer.begin_transaction().expect("begun");
                let record = BaseRecord::<(), _>::to(&topic).partition(0).payload(text.as_bytes());
                producer.send(record).map_err(|(error, _)| error).expect("queued");
                producer.flush(PATIENT).expect("written");
                if *commits {
                    producer.commit_transaction(PATIENT).expect("committed");
                } else {
                    producer.abort_transaction(PATIENT).expect("aborted");
                }
            }
        });
        sent.await.expect("sent");
    }

    pub async fn grow_topic(&self, partitions: usize) {
        let wanted = NewPartitions::new(&self.topic, partitions);
        let grown = self.admin().create_partitions(&[wanted], &AdminOptions::new()).await.expect("answered");
        assert!(grown[0].is_ok(), "{grown:?}");
        until("the new partitions have leaders", async || self.leaders().await.len() == partitions).await;
    }

    /// The broker that leads each partition, of those that are led.
    pub async fn leaders(&self) -> BTreeMap<i32, i32> {
        let (config, topic) = (self.config(), self.topic.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().expect("consumer");
            let metadata = consumer.fetch_metadata(Some(&topic), PATIENT).expect("metadata");
            let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            partitions
                .filter(|partition| partition.leader() >= 0)
                .map(|partition| (partition.id(), partition.leader()))
                .collect()
        });
        asked.await.expect("asked")
    }

    /// What the group has committed, by partition; `None` where it has not.
    pub async fn committed(&self) -> Vec<Option<i64>> {
        let mut config = self.config();
        config.set("group.id", &self.group);
        let topic = self.topic.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().expect("consumer");
            let metadata = consumer.fetch_metadata(Some(&topic), PATIENT).expect("metadata");
            let mut list = TopicPartitionList::new();
            for partition in metadata.topics()[0].partitions() {
                list.add_partition(&topic, partition.id());
            }
            let committed = consumer.committed_offsets(list, PATIENT).expect("offsets");
            let mut offsets: Vec<_> =
                committed.elements().iter().map(|one| (one.partition(), one.offset())).collect();
            offsets.sort_unstable_by_key(|(partition, _)| *partition);
            let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
            offsets.into_iter().map(|(_, found)| offset(found)).collect()
        });
        asked.await.expect("asked")
    }

    pub async fn until_committed(&self, wanted: &[i64]) {
        let wanted: Vec<_> = wanted.iter().copied().map(Some).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.committed().await;
            if found == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "committed is {found:?} instead of {wanted:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Members of the group, as its coordinator counts them; none while it rebalances.
    pub async fn members(&self) -> usize {
        self.member_ids().await.len()
    }

    pub async fn member_ids(&self) -> Vec<String> {
        let (config, group) = (self.config(), self.group.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().expect("consumer");
            let list = consumer.fetch_group_list(Some(&group), PATIENT).expect("groups");
            let stable =
                |found: &&rdkafka::groups::GroupInfo| found.name() == group && found.state() == "Stable";
            list.groups().iter().find(stable).map_or_else(Vec::new, |found| {
                found.members().iter().map(|member| member.id().to_owned()).collect()
            })
        });
        asked.await.expect("asked")
    }

    /// Every record of the topic, by partition and offset.
    pub async fn records(&self) -> Vec<Raw> {
        let (mut config, topic) = (self.config(), self.topic.clone());
        config.set("group.id", "reads without a group").set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "true").set("isolation.level", "read_uncommitted");
        let read = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().expect("consumer");
            let metadata = consumer.fetch_metadata(Some(&topic), PATIENT).expect("metadata");
            let mut list = TopicPartitionList::new();
            for partition in metadata.topics()[0].partitions() {
                list.add_partition_offset(&topic, partition.id(), Offset::Beginning).expect("added");
            }
            consumer.assign(&list).expect("assigned");
            let (mut records, mut ended) = (Vec::new(), 0);
            while ended < list.count() {
                match consumer.poll(PATIENCE).expect("records or an end") {
                    Ok(message) => records.push(raw(&message)),
                    Err(KafkaError::PartitionEOF(_)) => ended += 1,
                    // Of a broker that a test has killed; others answer in its place.
                    Err(KafkaError::MessageConsumption(
                        RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown,
                    )) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            records.sort_unstable_by_key(|record| (record.partition, record.offset));
            records
        });
        read.await.expect("read")
    }

    /// Sends values straight to Kafka, with the partition of each.
    pub async fn produce(&self, records: Vec<(i32, String)>) {
        let (config, topic) = (self.config(), self.topic.clone());
        let sent = tokio::task::spawn_blocking(move || {
            let producer: BaseProducer = config.create().expect("producer");
            for (partition, value) in &records {
                let record = BaseRecord::<(), _>::to(&topic).partition(*partition).payload(value.as_bytes());
                producer.send(record).map_err(|(error, _)| error).expect("queued");
            }
            producer.flush(PATIENT).expect("written");
        });
        sent.await.expect("sent");
    }

    /// The numbers of a range, as text, over the partitions in turn.
    pub async fn produce_numbers(&self, numbers: std::ops::Range<usize>, partitions: usize) {
        let number = |number: usize| ((number % partitions) as i32, number.to_string());
        self.produce(numbers.map(number).collect()).await;
    }
}

fn raw(message: &rdkafka::message::BorrowedMessage<'_>) -> Raw {
    let header = |header: rdkafka::message::Header<'_, &[u8]>| {
        (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
    };
    Raw {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers: message.headers().iter().flat_map(|headers| headers.iter()).map(header).collect(),
    }
}
