//! One librdkafka consumer: its callbacks, and what they leave for the reader's thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;

use super::guard::{self, log};
use super::progress::Alarm;
use super::refusal::{self, BrokerFailures};
use super::tokens::Tokens;
use super::{connection, failure};
use crate::error::{Error, ErrorCode, Result};
use crate::health::{Health, State};

pub(super) type KafkaConsumer = BaseConsumer<Context>;

/// How long a question to the cluster may hold up the reader's thread while it reads.
pub(super) const QUESTION_PATIENCE: Duration = Duration::from_millis(500);

/// What the group asks for.
pub(super) enum Rebalance {
    Assign(TopicPartitionList),
    Revoke(TopicPartitionList),
}

/// What callbacks leave behind. They run inside librdkafka's poll and must not wait: draining handlers there would
/// stop the very thread that has to serve them.
#[derive(Default)]
pub(super) struct Context {
    rebalances: Mutex<Vec<Rebalance>>,
    commits: Mutex<Vec<CommitAnswer>>,
    /// Rebalances and commits ever seen: tells whether a poll that returned nothing served something.
    seen: AtomicUsize,
    status: Arc<Status>,
    /// Nobody will look at rebalances any more: answer them here.
    closing: AtomicBool,
}

/// The offsets of a commit, by topic and partition.
pub(super) type CommitOffsets = BTreeMap<(String, i32), i64>;

pub(super) fn offsets_of(list: &TopicPartitionList) -> CommitOffsets {
    let offset = |element: &TopicPartitionListElem<'_>| element.offset().to_raw().unwrap_or(-1);
    let elements = list.elements();
    elements.iter().map(|one| ((one.topic().to_owned(), one.partition()), offset(one))).collect()
}

/// How a commit ended.
pub(super) struct CommitAnswer {
    pub(super) offsets: CommitOffsets,
    pub(super) result: Result<(), RDKafkaErrorCode>,
}

/// What users see of the connection.
#[derive(Default)]
pub(super) struct Status(Mutex<Trouble>);

#[derive(Default)]
struct Trouble {
    /// The group has given this reader its share at least once, be it an empty one.
    joined: bool,
    /// Why it has no share now: it lost its membership, or its consumer is being replaced.
    outside: Option<Error>,
    last: Option<Error>,
    /// Topics that do not exist or may not be read: true however well the connection works.
    missing: Option<Error>,
    /// Why the last token did not come, where tokens are needed.
    no_token: Option<Error>,
    /// Why events wait for their schema.
    schemas: Option<Error>,
    failures: BrokerFailures,
    /// Every broker refuses us, and why.
    refusal: Option<Error>,
    /// Brokers may refuse us, and the cause is to be found.
    suspected: bool,
}

impl Trouble {
    fn connected(&mut self) {
        self.last = None;
        self.failures.clear();
        (self.refusal, self.suspected) = (None, false);
    }
}

impl Status {
    pub(super) fn health(&self) -> Health {
        let trouble = self.0.lock();
        let reasons = [
            &trouble.no_token,
            &trouble.refusal,
            &trouble.last,
            &trouble.outside,
            &trouble.missing,
            &trouble.schemas,
        ];
        let error = reasons.into_iter().find_map(Clone::clone);
        let refused = error.as_ref().is_some_and(|error| refusal::is_refusal(error.code()));
        let state = match (trouble.joined, &error) {
            (false, _) if refused => State::Failed,
            (false, _) => State::Connecting,
            (true, Some(_)) => State::Degraded,
            (true, None) => State::Ready,
        };
        Health { state, error }
    }

    /// The group has given this reader its share.
    pub(super) fn assigned(&self) {
        let mut trouble = self.0.lock();
        trouble.joined = true;
        trouble.outside = None;
        trouble.connected();
    }

    /// The reader has no share until it gets the next one.
    pub(super) fn outside(&self, error: Error) {
        self.0.lock().outside = Some(error);
    }

    /// The consumer is replaced. The next one finds out anew which topics are missing.
    pub(super) fn broken(&self, error: Error) {
        let mut trouble = self.0.lock();
        trouble.outside = Some(error);
        trouble.missing = None;
    }

    /// Whether the cluster could not be reached when it was last heard of.
    pub(super) fn is_unavailable(&self) -> bool {
        let trouble = self.0.lock();
        trouble.refusal.is_some()
            || trouble.last.as_ref().is_some_and(|error| error.code() == ErrorCode::Unavailable)
    }

    /// The cluster has answered.
    pub(super) fn connected(&self) {
        self.0.lock().connected();
    }

    pub(super) fn set(&self, error: Error) {
        self.0.lock().last = Some(error);
    }

    /// What failed, when brokers may refuse us and nobody has looked yet.
    pub(super) fn take_suspicion(&self) -> Option<BrokerFailures> {
        let mut trouble = self.0.lock();
        std::mem::take(&mut trouble.suspected).then(|| trouble.failures.clone())
    }

    /// Somebody has to look again whether brokers refuse us.
    pub(super) fn suspect(&self) {
        let mut trouble = self.0.lock();
        trouble.suspected = trouble.failures.are_all();
    }

    /// Why every broker refuses us, if they do.
    pub(super) fn judge(&self, verdict: Option<Error>) {
        let mut trouble = self.0.lock();
        // The cluster may have answered meanwhile.
        trouble.refusal = verdict.filter(|_| trouble.failures.are_all());
    }

    pub(super) fn set_schemas(&self, error: Option<Error>) {
        self.0.lock().schemas = error;
    }

    /// How it is with tokens: why the last one did not come, or `None` when it did.
    pub(super) fn set_tokens(&self, error: Option<Error>, arrived: bool) {
        let mut trouble = self.0.lock();
        // The broker refused an older one. If it refuses this one, too, that is heard again.
        let refused = |error: &mut Error| error.code() == ErrorCode::Unauthenticated;
        if arrived {
            let _ = trouble.last.take_if(refused);
            let _ = trouble.refusal.take_if(refused);
        }
        trouble.no_token = error;
    }

    pub(super) fn set_missing(&self, error: Option<Error>) {
        self.0.lock().missing = error;
    }
}

impl Context {
    pub(super) fn seen(&self) -> usize {
        self.seen.load(Ordering::Acquire)
    }

    pub(super) fn take_rebalances(&self) -> Vec<Rebalance> {
        std::mem::take(&mut *self.rebalances.lock())
    }

    pub(super) fn has_rebalances(&self) -> bool {
        !self.rebalances.lock().is_empty()
    }

    pub(super) fn take_commits(&self) -> Vec<CommitAnswer> {
        std::mem::take(&mut *self.commits.lock())
    }

    /// Runs the body of a callback, which must not unwind into the client library.
    fn callback(&self, what: &str, body: impl FnOnce()) {
        if let Err(error) = guard::caught(what, body) {
            self.status.set(error);
        }
    }

    pub(super) fn begin_closing(&self) {
        self.closing.store(true, Ordering::Release);
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        connection::pass_log(level, facility, message);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.callback("the error callback", || {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            let denied =
                [RDKafkaErrorCode::TopicAuthorizationFailed, RDKafkaErrorCode::GroupAuthorizationFailed];
            if denied.contains(&code) {
                // The reader hears of it as well, and knows the names.
                return;
            }
            let trouble = &mut *self.status.0.lock();
            trouble.suspected |= trouble.failures.note(Some(code), reason);
            // "All brokers are down" says less than the cause that came before it. And one broker that refuses us is
            // no reason to give up.
            if code != RDKafkaErrorCode::AllBrokersDown || trouble.last.is_none() {
                let code =
                    if failure::is_of_one_broker(code) { RDKafkaErrorCode::AllBrokersDown } else { code };
                let error = failure::from_code(code, "the consumer has no connection");
                trouble.last = Some(error.backend(reason));
            }
        });
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.callback("the rebalance callback", || {
            if self.closing.load(Ordering::Acquire) {
                let given_up = match consumer.rebalance_protocol() {
                    RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
                    _ => consumer.unassign(),
                };
                if let Err(error) = given_up {
                    log!(debug, "{error}");
                }
                return;
            }
            self.seen.fetch_add(1, Ordering::AcqRel);
            // A copy: the list belongs to the event.
            let list = list.clone();
            self.rebalances.lock().push(match event {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(list),
                _ => Rebalance::Revoke(list),
            });
        });
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        self.callback("the commit callback", || {
            // A commit can succeed as a whole and fail for single partitions.
            let each = offsets.elements().iter().try_for_each(TopicPartitionListElem::error);
            let result = result
                .and(each)
                .map_err(|error| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
            self.seen.fetch_add(1, Ordering::AcqRel);
            self.commits.lock().push(CommitAnswer { offsets: offsets_of(offsets), result });
        });
    }
}

/// Starts a consumer; `alarm` rings when its main queue has something.
pub(super) fn start(
    config: &ClientConfig,
    alarm: &Arc<Alarm>,
    status: &Arc<Status>,
    tokens: Option<&Tokens>,
) -> Result<Arc<KafkaConsumer>> {
    let context = Context { status: status.clone(), ..Context::default() };
    let mut consumer: KafkaConsumer = BaseConsumer::from_config_and_context(config, context)
        .map_err(|error| failure::from_kafka(&error, "the consumer does not start"))?;
    let alarm = alarm.clone();
    consumer.set_nonempty_callback(move || guard::quietly(|| alarm.ring()));
    let consumer = Arc::new(consumer);
    if let Some(tokens) = tokens {
        tokens.tell(&consumer);
    }
    Ok(consumer)
}
