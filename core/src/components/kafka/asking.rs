//! A client that only asks: for `doctor` and for those who look on. It joins no group and makes no topic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::ffi::describe::Refusal;
use super::refusal::{self, BrokerFailures};
use super::settings::KafkaSettings;
use super::tokens::{News, Tokens};
use super::{connection, failure, guard};
use crate::error::{Error, ErrorCode, Result};
use crate::runtime;

/// How long the first try of a question takes; each further one twice as long.
const FIRST_TRY: Duration = Duration::from_millis(500);

/// What librdkafka said meanwhile, and what the group gave to who joined one.
#[derive(Default)]
pub(super) struct Heard {
    last: Mutex<Option<(RDKafkaErrorCode, String)>>,
    failures: Mutex<BrokerFailures>,
    /// So many partitions were given at last; `None` before the first answer, and after they were taken back.
    pub(super) given: Mutex<Option<usize>>,
}

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        connection::pass_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        guard::quietly(|| {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            self.failures.lock().note(error.rdkafka_error_code(), reason);
            let last = &mut *self.last.lock();
            // "All brokers are down" says less than the cause that came before it.
            if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
                *last = Some((code, reason.to_owned()));
            }
        });
    }
}

impl ConsumerContext for Heard {
    /// Who joins a group here wants the membership, and no records: nothing is read for it.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        guard::quietly(|| {
            let gives = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
            *self.given.lock() = gives.then(|| list.count());
            let answer =
                if gives { consumer.assign(&TopicPartitionList::new()) } else { consumer.unassign() };
            if let Err(error) = answer {
                guard::log!(debug, "{error}");
            }
        });
    }

    fn commit_callback(&self, _result: KafkaResult<()>, _offsets: &TopicPartitionList) {}
}

/// A client that asks.
pub(super) struct Asking {
    pub(super) consumer: Arc<BaseConsumer<Heard>>,
    settings: Arc<KafkaSettings>,
    /// What it logs in with, where that takes tokens.
    tokens: Option<Arc<Tokens>>,
}

impl Asking {
    /// Starts a client. The group is named for questions about it and to commit in it; it is not joined.
    pub(super) fn open(settings: &Arc<KafkaSettings>, group: &str, options: &[(&str, &str)]) -> Result<Self> {
        let mut config = settings.consumer_config(group);
        config.set("allow.auto.create.topics", "false").set("isolation.level", "read_committed");
        for (name, value) in options {
            config.set(*name, *value);
        }
        let tokens = settings.security.token_source().map(Tokens::of).transpose()?;
        let consumer = BaseConsumer::from_config_and_context(&config, Heard::default())
            .map_err(|error| failure::from_kafka(&error, "the client library does not start"))?;
        let consumer = Arc::new(consumer);
        if let Some(tokens) = &tokens {
            tokens.tell(&consumer);
        }
        Ok(Self { consumer, settings: settings.clone(), tokens })
    }

    pub(super) fn client(&self) -> &Client<Heard> {
        self.consumer.client()
    }

    /// Asks for a topic, or for all of them, and for the brokers on the way.
    ///
    /// # Errors
    /// Why nobody answered, in the client library's own words. At once where a further try would not help.
    pub(super) fn metadata(
        &self,
        topic: Option<&str>,
        deadline: Instant,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Metadata> {
        let mut patience = FIRST_TRY;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let patience_now = patience.min(left).max(Duration::from_millis(1));
            let error = match self.consumer.fetch_metadata(topic, patience_now) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            let heard = self.heard();
            let is_final = heard.as_ref().is_some_and(|error| refusal::is_refusal(error.code()));
            if interrupted() {
                return Err(Error::new(ErrorCode::Cancelled, "it was interrupted"));
            }
            if is_final || Instant::now() >= deadline {
                return Err(
                    heard.unwrap_or_else(|| failure::from_kafka(&error, "the cluster does not answer"))
                );
            }
            patience *= 2;
        }
    }

    /// Why brokers refuse us, if all of them do; else the last thing that librdkafka had to complain about.
    pub(super) fn heard(&self) -> Option<Error> {
        // Its complaints wait in a queue; nothing else does for who does not read.
        while self.consumer.poll(Duration::ZERO).is_some() {}
        if let Some(News { token: None, error: Some(error) }) =
            self.tokens.as_ref().map(|tokens| tokens.news())
        {
            return Some(error);
        }
        let heard = self.consumer.context();
        let failures = heard.failures.lock().clone();
        if failures.are_all() {
            let verdict = refusal::verdict(failures, &self.settings);
            let verdict = runtime::handle().map(|handle| runtime::block_on(&handle, verdict, None, || false));
            if let Ok(Some(Some(refused))) = verdict {
                return Some(refused);
            }
        }
        let last = heard.last.lock().clone();
        last.map(|(code, reason)| failure::from_code(code, "the cluster cannot be reached").backend(reason))
    }

    /// An error for a question that was refused.
    pub(super) fn refused(refusal: &Refusal, what: &str) -> Error {
        let error = failure::from_code(refusal.code, what);
        if refusal.text.is_empty() { error } else { error.backend(refusal.text.clone()) }
    }
}
