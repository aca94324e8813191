//! Sending to Kafka: from a request to a record, and from a delivery report to a reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use rdkafka::message::{Header, OwnedHeaders};
use tokio::sync::Semaphore;

use super::avro::{Outgoing, Writer};
use super::partition::Partition;
use super::partitioner::{self, Keyless};
use super::pending::{Fate, Receipt, Record, Room, Waiting, Written};
use super::sender::Sender;
use super::settings::KafkaSettings;
use super::tokens::Tokens;
use super::topology::Topology;
use crate::binding::{Call, Driver, OutputBinding, Reply, Request};
use crate::body::Body;
use crate::error::{Error, ErrorCode, Result};
use crate::health::Health;
use crate::manifest::Component;
use crate::metadata::{Metadata, MetadataValue};
use crate::runtime;

pub(super) const OPERATIONS: &[&str] = &["create"];

/// Records of one `invoke_many` that take their room in the queue together.
const CHUNK: usize = 8192;
/// Records without a key that go to one partition before another one is drawn.
const KEYLESS_RUN: usize = 512;
/// The sending side of a Kafka component.
pub(super) struct KafkaOutput {
    settings: Arc<KafkaSettings>,
    sender: Arc<Sender>,
    topic: Arc<str>,
    records_room: Arc<Semaphore>,
    bytes_room: Arc<Semaphore>,
    topology: Topology,
    keyless: Keyless,
    values: Outgoing,
    closed: AtomicBool,
    /// Of the metadata only `__key` is an instruction, and everything else a header.
    verbatim: bool,
}

impl KafkaOutput {
    pub(super) fn open(component: &Component) -> Result<Arc<dyn OutputBinding>> {
        Ok(Arc::new(Self::new(component)?))
    }

    pub(super) fn new(component: &Component) -> Result<Self> {
        let (settings, _) = KafkaSettings::decode(component)?;
        Self::start(component, settings)
    }

    /// An output for records that were received from `topic` and go back to it: whatever their headers are called.
    pub(super) fn verbatim(component: &Component, topic: &str) -> Result<Self> {
        let (mut settings, _) = KafkaSettings::decode(component)?;
        settings.publish_topic = Some(topic.to_owned());
        settings.exclude_headers = None;
        Ok(Self { verbatim: true, ..Self::start(component, settings)? })
    }

    fn start(component: &Component, settings: KafkaSettings) -> Result<Self> {
        let Some(topic) = settings.publish_topic.clone() else {
            return Err(Error::new(ErrorCode::InvalidSettings, "publishTopic: needed to send, and not set")
                .component(component.name.clone())
                .place(component.place.clone()));
        };
        let values = Outgoing::new(&settings.schemas, &topic)
            .map_err(|error| error.component(component.name.clone()))?;
        let tokens = settings.security.token_source().map(Tokens::of).transpose()?;
        let sender =
            Sender::open(topic.clone(), settings.producer_config(), settings.producer_connections, tokens)?;
        // Connecting begins here, and not with the first call.
        let settings = Arc::new(settings);
        let topology = Topology::new(sender.clone(), settings.clone(), &runtime::handle()?);
        Ok(Self {
            topic: topic.into(),
            records_room: Arc::new(Semaphore::new(settings.max_queued_records)),
            bytes_room: Arc::new(Semaphore::new(settings.max_queued_bytes)),
            topology,
            keyless: Keyless::new(),
            values,
            closed: AtomicBool::new(false),
            settings,
            sender,
            verbatim: false,
        })
    }

    #[cfg(test)]
    pub(super) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Room in the component's queue: waits for it until the deadline.
    async fn room(&self, records: usize, bytes: usize, deadline: Instant) -> Result<Room> {
        let amount = |wanted: usize, most: usize| u32::try_from(wanted.min(most)).unwrap_or(u32::MAX);
        let records = amount(records, self.settings.max_queued_records);
        let bytes = amount(bytes, self.settings.max_queued_bytes);
        if let Ok(for_records) = self.records_room.clone().try_acquire_many_owned(records)
            && let Ok(for_bytes) = self.bytes_room.clone().try_acquire_many_owned(bytes)
        {
            return Ok((for_records, for_bytes));
        }
        let wait = async {
            let for_records = self.records_room.clone().acquire_many_owned(records).await;
            let for_bytes = self.bytes_room.clone().acquire_many_owned(bytes).await;
            for_records.and_then(|for_records| for_bytes.map(|for_bytes| (for_records, for_bytes)))
        };
        match tokio::time::timeout_at(deadline.into(), wait).await {
            Ok(Ok(room)) => Ok(room),
            Ok(Err(_)) => Err(Error::new(ErrorCode::Closed, "the component is closed")),
            Err(_) => Err(Error::new(
                ErrorCode::QueueFull,
                format!(
                    "{} records or {} bytes were waiting for the broker until the deadline \
                     (maxQueuedRecords, maxQueuedBytes)",
                    self.settings.max_queued_records, self.settings.max_queued_bytes
                ),
            )),
        }
    }

    /// What of a request does not depend on the topic.
    fn prepare(&self, request: Request) -> Result<Prepared> {
        let metadata = &request.metadata;
        if self.verbatim {
            let key = metadata.value("__key").map(key_of);
            // What was decoded on arrival goes back in the form of its schema, and no JSON begins with a zero byte; what
            // could not be read goes back as it came.
            let was_decoded = request.body.as_bytes().is_some_and(|bytes| bytes.first() != Some(&0));
            let has_schema = was_decoded && self.values.is_wanted(&Metadata::default())?;
            return self.prepare_record(None, key, request, has_schema);
        }
        let has_schema = self.values.is_wanted(metadata)? && !request.body.is_none();
        let number = match metadata.get("partitionNumber") {
            None => None,
            Some(text) => Some(text.parse::<u32>().map_err(|_| {
                let message = format!("partitionNumber: expected a number of at least 0, got {text:?}");
                Error::new(ErrorCode::InvalidRequest, message)
            })?),
        };
        // Dapr picks one of the two by chance when both are given; here partitionKey wins.
        let key = metadata.value("partitionKey").or_else(|| metadata.value("__key")).map(key_of);
        self.prepare_record(number, key, request, has_schema)
    }

    fn prepare_record(
        &self,
        number: Option<u32>,
        key: Option<Bytes>,
        request: Request,
        has_schema: bool,
    ) -> Result<Prepared> {
        let headers = self.headers(&request.metadata)?;
        let value = match request.body {
            Body::Bytes(bytes) => Some(bytes),
            Body::None => None,
        };
        let mut prepared = Prepared { number, key, value, headers, size: 0, has_schema };
        if !has_schema {
            self.measure(&mut prepared)?;
        }
        Ok(prepared)
    }

    fn measure(&self, prepared: &mut Prepared) -> Result<()> {
        let lengths = [&prepared.key, &prepared.value].map(|bytes| bytes.as_ref().map_or(0, Bytes::len));
        prepared.size = lengths.iter().sum();
        if prepared.size as u64 > self.settings.max_message_bytes {
            let (size, most) = (prepared.size, self.settings.max_message_bytes);
            let message = format!("{size} bytes are more than maxMessageBytes, {most}");
            return Err(Error::new(ErrorCode::PayloadTooLarge, message));
        }
        Ok(())
    }

    /// Puts a record's value into the form of its schema.
    fn encode(&self, mut prepared: Prepared, writer: &Result<Arc<Writer>>) -> Result<Prepared> {
        if let Some(value) = &prepared.value {
            prepared.value = Some(self.values.encode(writer, value)?);
        }
        self.measure(&mut prepared)?;
        Ok(prepared)
    }

    /// Every entry of the metadata becomes a header, as in Dapr, unless `excludeHeaderMetaRegex` matches its name.
    fn headers(&self, metadata: &Metadata) -> Result<Option<OwnedHeaders>> {
        let mut headers = None;
        for (name, value) in metadata.iter() {
            if self.verbatim && name == "__key" {
                continue;
            }
            if self.settings.exclude_headers.as_ref().is_some_and(|pattern| pattern.is_match(name)) {
                continue;
            }
            if name.contains('\0') {
                let message = format!("metadata: a name must not hold a zero byte, got {name:?}");
                return Err(Error::new(ErrorCode::InvalidRequest, message));
            }
            let list: OwnedHeaders =
                headers.unwrap_or_else(|| OwnedHeaders::new_with_capacity(metadata.len()));
            headers = Some(list.insert(Header { key: name, value: Some(&*value.bytes()) }));
        }
        Ok(headers)
    }

    fn choose<'a>(
        prepared: &Prepared,
        partitions: &'a [Arc<Partition>],
        keyless: impl FnOnce() -> usize,
    ) -> Result<&'a Arc<Partition>> {
        let index = match (prepared.number, &prepared.key) {
            (Some(number), _) => number as usize,
            (None, Some(key)) => partitioner::partition_of(key, partitions.len()),
            (None, None) => keyless(),
        };
        partitions.get(index).ok_or_else(|| {
            let message =
                format!("partitionNumber: the topic has {} partitions, got {index}", partitions.len());
            Error::new(ErrorCode::InvalidRequest, message)
        })
    }

    fn place_keyless(&self, partitions: usize) -> usize {
        let under_way =
            self.settings.max_queued_records.saturating_sub(self.records_room.available_permits());
        self.keyless.place(under_way, partitions)
    }

    fn reply(&self, fate: Fate) -> Result<Reply> {
        match fate {
            Fate::Settled(Ok(Written { partition, offset })) => {
                let mut metadata = Metadata::with_capacity(3);
                metadata.add("topic", self.topic.clone());
                metadata.add("partition", i64::from(partition));
                if let Some(offset) = offset {
                    metadata.add("offset", offset);
                }
                Ok(Reply { body: Body::None, metadata })
            }
            Fate::Settled(Err(error)) => Err(error),
            Fate::NotSent if !self.sender.health.is_reachable() => {
                Err(self.topology.unreachable("the record was not sent before the deadline"))
            }
            Fate::NotSent => {
                Err(Error::new(ErrorCode::Timeout, "the record was not sent before the deadline"))
            }
            Fate::Unknown => {
                let error = Error::new(
                    ErrorCode::OutcomeUnknown,
                    "the record was sent, and the broker did not confirm it before the deadline",
                );
                Err(self.sender.health.explain(error))
            }
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Closed, "the component is closed"));
        }
        Ok(())
    }

    async fn send_one(&self, call: &Call, request: Request) -> Result<Reply> {
        self.check_open()?;
        let mut prepared = self.prepare(request)?;
        if prepared.has_schema {
            // In a box, so that other calls do not carry it about.
            let writer = Box::pin(self.values.writer(call.deadline)).await;
            prepared = self.encode(prepared, &writer)?;
        }
        let room = self.room(1, prepared.size, call.deadline).await?;
        let partitions = self.topology.partitions(call.deadline).await?;
        let partition = Self::choose(&prepared, &partitions, || self.place_keyless(partitions.len()))?;
        let waiting = Waiting::new(1, room);
        let attending = self.sender.send_one(partition, prepared.into_record(Receipt::new(&waiting, 0)));
        let mut fates = waiting.fates(call.deadline, attending).await;
        self.reply(fates.pop().unwrap_or(Fate::NotSent))
    }

    /// Queues one chunk; what could not be queued has its error in the result already.
    async fn queue_chunk(
        &self,
        call: &Call,
        requests: Vec<Request>,
        writer: &mut Option<Result<Arc<Writer>>>,
    ) -> Result<Waiting> {
        self.check_open()?;
        let mut prepared: Vec<_> = requests.into_iter().map(|request| self.prepare(request)).collect();
        if prepared.iter().flatten().any(|prepared| prepared.has_schema) {
            if writer.is_none() {
                *writer = Some(Box::pin(self.values.writer(call.deadline)).await);
            }
            if let Some(writer) = writer {
                let encode = |prepared: Prepared| {
                    if prepared.has_schema { self.encode(prepared, writer) } else { Ok(prepared) }
                };
                prepared = prepared.into_iter().map(|prepared| prepared.and_then(encode)).collect();
            }
        }
        let bytes = prepared.iter().flatten().map(|prepared| prepared.size).sum();
        let room = self.room(prepared.len(), bytes, call.deadline).await?;
        let partitions = self.topology.partitions(call.deadline).await?;
        let waiting = Waiting::new(prepared.len(), room);
        let mut groups: Vec<Vec<Record>> = partitions.iter().map(|_| Vec::new()).collect();
        let mut keyless = 0;
        for (slot, prepared) in prepared.into_iter().enumerate() {
            if slot % KEYLESS_RUN == 0 {
                keyless = self.keyless.draw(partitions.len());
            }
            let receipt = Receipt::new(&waiting, slot);
            let chosen = prepared.and_then(|prepared| {
                let index = Self::choose(&prepared, &partitions, || keyless)?.number;
                Ok((usize::try_from(index).unwrap_or_default(), prepared))
            });
            match chosen {
                Ok((index, prepared)) => groups[index].push(prepared.into_record(receipt)),
                Err(error) => receipt.fail(error),
            }
        }
        for (partition, records) in partitions.iter().zip(groups) {
            if !records.is_empty() {
                self.sender.send(partition, records);
            }
        }
        Ok(waiting)
    }
}

fn key_of(value: &MetadataValue) -> Bytes {
    Bytes::copy_from_slice(&value.bytes())
}

struct Prepared {
    number: Option<u32>,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Option<OwnedHeaders>,
    /// Of key and value; known once the value is as it is sent.
    size: usize,
    /// The value is to be encoded with the latest schema.
    has_schema: bool,
}

impl Prepared {
    fn into_record(self, receipt: Receipt) -> Record {
        Record { key: self.key, value: self.value, headers: self.headers, receipt }
    }
}

#[async_trait]
impl OutputBinding for KafkaOutput {
    fn operations(&self) -> &[&'static str] {
        OPERATIONS
    }

    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply> {
        self.send_one(call, request).await
    }

    async fn invoke_many(&self, call: &Call, mut requests: Vec<Request>) -> Vec<Result<Reply>> {
        let mut chunks = Vec::with_capacity(requests.len() / CHUNK + 1);
        let total = requests.len();
        // One for all of them.
        let mut writer = None;
        // A chunk waits for room only; the earlier ones are on their way meanwhile.
        while !requests.is_empty() {
            let rest = requests.split_off(requests.len().min(CHUNK));
            let records = requests.len();
            chunks.push((records, self.queue_chunk(call, requests, &mut writer).await));
            requests = rest;
        }
        let mut results = Vec::with_capacity(total);
        for (records, chunk) in chunks {
            match chunk {
                Ok(waiting) => {
                    let fates = waiting.fates(call.deadline, None).await;
                    results.extend(fates.into_iter().map(|fate| self.reply(fate)));
                }
                Err(error) => results.extend((0..records).map(|_| Err(error.clone()))),
            }
        }
        results
    }

    fn health(&self) -> Health {
        self.sender.health.seen()
    }

    fn driver(&self) -> Option<&dyn Driver> {
        Some(&*self.sender)
    }

    async fn close(&self, deadline: Instant) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        self.topology.stop();
        let sender = self.sender.clone();
        tokio::task::spawn_blocking(move || sender.close(deadline)).await.unwrap_or_else(|error| {
            Err(Error::new(ErrorCode::Internal, format!("closing panicked: {error}")))
        })
    }
}
