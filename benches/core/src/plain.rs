//! librdkafka as a Rust program uses it without us: no bound on requests under way, no idempotence, no linger.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use crate::options::Options;
use crate::{Failure, PAYLOAD, Peer};

const PATIENCE: Duration = Duration::from_secs(30);

/// Who wants to know about a record: one caller, or a counter.
enum Told {
    Caller(oneshot::Sender<Result<(), KafkaError>>),
    Counter(Arc<AtomicUsize>),
}

struct Context;

impl ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Told>;

    fn delivery(&self, result: &DeliveryResult<'_>, told: Self::DeliveryOpaque) {
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        match *told {
            Told::Caller(caller) => {
                // A caller who does not wait any more has nothing to be told.
                let _ = caller.send(result);
            }
            Told::Counter(confirmed) => {
                confirmed.fetch_add(usize::from(result.is_ok()), Ordering::Relaxed);
            }
        }
    }
}

#[derive(Clone)]
pub(crate) struct Plain {
    producer: Arc<ThreadedProducer<Context>>,
    topic: Arc<str>,
}

impl Plain {
    pub(crate) fn open(options: &Options) -> Result<Self, Failure> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &options.bootstrap)
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("socket.nagle.disable", "true")
            .set("queue.buffering.max.messages", "0");
        let producer = ThreadedProducer::from_config_and_context(&config, Context)?;
        Ok(Self { producer: Arc::new(producer), topic: options.topic.as_str().into() })
    }

    fn produce(&self, key: Option<&str>, told: Told) -> Result<(), KafkaError> {
        let mut told = Box::new(told);
        loop {
            let mut record = BaseRecord::with_opaque_to(&self.topic, told).payload(PAYLOAD);
            record.key = key;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), record)) => {
                    told = record.delivery_opaque;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}

impl Peer for Plain {
    async fn send(&self, key: Option<String>) -> Result<(), Failure> {
        let (caller, told) = oneshot::channel();
        self.produce(key.as_deref(), Told::Caller(caller))?;
        Ok(told.await??)
    }

    fn send_blocking(&self) -> Result<(), Failure> {
        let (caller, told) = oneshot::channel();
        self.produce(None, Told::Caller(caller))?;
        Ok(told.blocking_recv()??)
    }

    fn send_bulk(&self, records: usize) -> Result<(), Failure> {
        let confirmed = Arc::new(AtomicUsize::new(0));
        for _ in 0..records {
            self.produce(None, Told::Counter(confirmed.clone()))?;
        }
        self.producer.flush(PATIENCE)?;
        let confirmed = confirmed.load(Ordering::Relaxed);
        if confirmed == records { Ok(()) } else { Err(format!("{confirmed} of {records} confirmed").into()) }
    }
}
