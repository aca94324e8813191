//! One librdkafka producer: hands records over, brings delivery reports home.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use super::cluster::ClusterHealth;
use super::failure;
use super::ffi::{OfThisProcess, QueueSignal, may_be_persisted};
use super::guard::{self, log};
use super::partition::Batch;
use super::pending::{Receipt, Record, Written};
use super::tokens::Tokens;
use crate::error::{Error, ErrorCode, Result};

/// A producer with what it needs to be served.
pub(super) struct Connection {
    native: OfThisProcess<Native>,
    /// Batches that this producer has not settled.
    batches_out: Arc<AtomicUsize>,
}

struct Native {
    signal: QueueSignal,
    producer: Arc<BaseProducer<Context>>,
}

/// What librdkafka's callbacks can reach.
pub(super) struct Context {
    pub(super) health: Arc<ClusterHealth>,
    /// Batches that ended during the last serving.
    ended: Mutex<Vec<Arc<Batch>>>,
    batches_out: Arc<AtomicUsize>,
    /// Something failed: look whether it was fatal. The error itself does not tell, it has the code of its cause.
    failed: AtomicBool,
}

/// Passes librdkafka's log on to `tracing`, as `bindwright::kafka`.
pub(super) fn pass_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
            log!(debug, facility, "{message}");
        }
        // What matters comes back as an error of a call or a component; the rest is librdkafka's daily worry.
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Error => {
            log!(info, facility, "{message}");
        }
        _ => log!(error, facility, "{message}"),
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        pass_log(level, facility, message);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.failed.store(true, Ordering::Release);
        let noted =
            guard::caught("the error callback", || self.health.note(error.rdkafka_error_code(), reason));
        if let Err(error) = noted {
            self.health.trouble(error);
        }
    }
}

/// Travels through librdkafka with a record.
pub(super) struct InFlight {
    receipt: Receipt,
    batch: Arc<Batch>,
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<InFlight>;

    fn delivery(&self, result: &DeliveryResult<'_>, in_flight: Self::DeliveryOpaque) {
        let answered = guard::caught("a delivery report", || self.answer(result, &in_flight.receipt));
        if let Err(error) = answered {
            self.health.trouble(error);
            let what = "the delivery report could not be handled";
            guard::quietly(|| in_flight.receipt.fail(Error::new(ErrorCode::OutcomeUnknown, what)));
        }
        // In any case: a batch that never ends would hold its partition.
        if in_flight.batch.settle_one() {
            self.batches_out.fetch_sub(1, Ordering::Relaxed);
            self.ended.lock().push(in_flight.batch);
        }
    }
}

impl Context {
    fn answer(&self, result: &DeliveryResult<'_>, receipt: &Receipt) {
        match result {
            Ok(message) => receipt.finish(Ok(Written {
                partition: message.partition(),
                offset: Some(message.offset()).filter(|offset| *offset >= 0),
            })),
            Err((error, message)) => {
                self.failed.store(true, Ordering::Release);
                let topic = message.topic();
                let broke = match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::Fatal) => {
                        self.health.broke_by(topic)
                    }
                    _ => None,
                };
                let may_be_written = may_be_persisted(message);
                receipt.fail(broke.unwrap_or_else(|| delivery_error(error, topic, may_be_written)));
            }
        }
    }
}

fn delivery_error(error: &KafkaError, topic: &str, may_be_written: bool) -> Error {
    if let Some(code @ RDKafkaErrorCode::TopicAuthorizationFailed) = error.rdkafka_error_code() {
        return failure::denied_to_write(topic, code);
    }
    let error = failure::from_kafka(error, "the record was not confirmed");
    if may_be_written && error.retriable() != Some(false) {
        // Said by a connection that broke or a broker that had begun: a second try could write a second record.
        let text = error.backend_text().unwrap_or_default().to_owned();
        return Error::new(ErrorCode::OutcomeUnknown, "the record was not confirmed").backend(text);
    }
    if error.code() == ErrorCode::OutcomeUnknown && !may_be_written {
        let text = error.backend_text().unwrap_or_default().to_owned();
        return Error::new(ErrorCode::Timeout, "the record was not sent in time").backend(text);
    }
    error
}

impl Connection {
    /// Starts a producer; `wake` is called from one of its threads when there is something to serve.
    pub(super) fn open(
        config: &ClientConfig,
        health: Arc<ClusterHealth>,
        tokens: Option<&Tokens>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self> {
        let batches_out = Arc::new(AtomicUsize::new(0));
        let failed = AtomicBool::new(false);
        let context = Context { health, ended: Mutex::default(), batches_out: batches_out.clone(), failed };
        let producer = BaseProducer::from_config_and_context(config, context)
            .map_err(|error| failure::from_kafka(&error, "the producer does not start"))?;
        let producer = Arc::new(producer);
        if let Some(tokens) = tokens {
            tokens.tell(&producer);
        }
        let signal = QueueSignal::new(&producer, wake);
        Ok(Self { native: OfThisProcess::new(Native { signal, producer }), batches_out })
    }

    /// Gives a record to librdkafka, which copies it.
    pub(super) fn send(
        &self,
        topic: &str,
        partition: i32,
        record: Record,
        batch: &Arc<Batch>,
    ) -> Result<(), (Error, Receipt)> {
        let in_flight = Box::new(InFlight { receipt: record.receipt, batch: batch.clone() });
        let base = BaseRecord {
            topic,
            partition: Some(partition),
            payload: record.value.as_deref(),
            key: record.key.as_deref(),
            timestamp: None,
            headers: record.headers,
            delivery_opaque: in_flight,
        };
        self.native.producer.send(base).map_err(|(error, base)| {
            let error = match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => {
                    Error::new(ErrorCode::QueueFull, "the client library's queue is full")
                }
                _ => failure::from_kafka(&error, "the record cannot be sent"),
            };
            self.look_for_fatal_error();
            (error, base.delivery_opaque.receipt)
        })
    }

    /// Handles every delivery report that is there; the batches that ended by it go into `ended`.
    pub(super) fn serve(&self, ended: &mut Vec<Arc<Batch>>) {
        while self.has_unserved() {
            self.native.producer.poll(Duration::ZERO);
        }
        ended.append(&mut self.native.producer.context().ended.lock());
        if self.native.producer.context().failed.swap(false, Ordering::AcqRel) {
            self.look_for_fatal_error();
        }
    }

    /// Whether something waits to be served.
    pub(super) fn has_unserved(&self) -> bool {
        self.native.signal.len() > 0
    }

    fn look_for_fatal_error(&self) {
        if let Some((code, reason)) = self.native.producer.client().fatal_error() {
            self.native.producer.context().health.mark_fatal(code, &reason);
        }
    }

    pub(super) fn batch_begins(&self) {
        self.batches_out.fetch_add(1, Ordering::SeqCst);
    }

    /// A batch of which nothing could be sent.
    pub(super) fn batch_is_void(&self) {
        self.batches_out.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn batches_out(&self) -> usize {
        self.batches_out.load(Ordering::SeqCst)
    }

    /// Asks the cluster about the topic. Blocks.
    pub(super) fn topic_partitions(&self, topic: &str, timeout: Duration) -> Result<i32, RDKafkaErrorCode> {
        let code = |error: KafkaError| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        let metadata = self.native.producer.client().fetch_metadata(Some(topic), timeout).map_err(code)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.ok_or(RDKafkaErrorCode::UnknownTopicOrPartition)?;
        match found.error() {
            Some(error) => Err(error.into()),
            None if found.partitions().is_empty() => Err(RDKafkaErrorCode::LeaderNotAvailable),
            None => Ok(i32::try_from(found.partitions().len()).unwrap_or(i32::MAX)),
        }
    }

    #[cfg(test)]
    pub(super) fn raise_fatal_error(&self) {
        super::ffi::raise_fatal_error(self.native.producer.client());
    }
}
