//! What the sending side knows of its topic and its cluster: asked for at the first call, looked after ever since.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::failure;
use super::partition::Partition;
use super::sender::Sender;
use crate::error::{Error, ErrorCode, Result};

/// How long a topic may be unknown before it counts as missing: a broker that makes topics on first use first says
/// that there is none.
const TOPIC_PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Topology {
    sender: Arc<Sender>,
    /// The last failure that was final, and when: for those who waited while another one asked.
    last_failure: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

impl Topology {
    pub(super) fn new(sender: Arc<Sender>) -> Self {
        Self { sender, last_failure: tokio::sync::Mutex::default() }
    }

    /// The topic's partitions; asks the cluster the first time, until the deadline.
    pub(super) async fn partitions(&self, deadline: Instant) -> Result<Arc<Vec<Arc<Partition>>>> {
        if let Some(partitions) = self.sender.partitions.load_full() {
            return Ok(partitions);
        }
        match tokio::time::timeout_at(deadline.into(), self.discover()).await {
            Ok(found) => found,
            Err(_) => Err(self.unreachable("the topic's partitions could not be asked for")),
        }
    }

    async fn discover(&self) -> Result<Arc<Vec<Arc<Partition>>>> {
        // One asks, the others wait for what it finds, also when it finds that the topic is missing.
        let arrived = Instant::now();
        let mut last_failure = self.last_failure.lock().await;
        if let Some((when, error)) = &*last_failure
            && *when > arrived
        {
            return Err(error.clone());
        }
        let mut unknown_since = None;
        loop {
            if let Some(partitions) = self.sender.partitions.load_full() {
                return Ok(partitions);
            }
            let sender = self.sender.clone();
            let answer = tokio::task::spawn_blocking(move || {
                sender.connection().topic_partitions(sender.topic(), Duration::from_secs(2))
            });
            match answer.await.unwrap_or(Err(RDKafkaErrorCode::Fail)) {
                Ok(count) => {
                    self.sender.health.mark_reachable();
                    self.sender.set_partitions(usize::try_from(count).unwrap_or_default());
                    continue;
                }
                Err(
                    code @ (RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::LeaderNotAvailable),
                ) => {
                    let since = *unknown_since.get_or_insert_with(Instant::now);
                    let missing = code != RDKafkaErrorCode::LeaderNotAvailable;
                    if missing && since.elapsed() > TOPIC_PATIENCE {
                        let error = failure::from_code(code, &format!("topic {:?} does not exist", self.sender.topic()));
                        *last_failure = Some((Instant::now(), error.clone()));
                        return Err(error);
                    }
                }
                Err(code) => {
                    let error = failure::from_code(code, &format!("topic {:?} cannot be used", self.sender.topic()));
                    if error.code() != ErrorCode::Unavailable {
                        *last_failure = Some((Instant::now(), error.clone()));
                        return Err(error);
                    }
                    unknown_since = None;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// `UNAVAILABLE`, with the client library's own words.
    pub(super) fn unreachable(&self, what: &'static str) -> Error {
        self.sender.health.explain(Error::new(ErrorCode::Unavailable, what))
    }
}

/// Looks after a sender in the background: a cluster that went away, a producer that broke, a topic that grew.
pub(super) async fn watch(sender: Weak<Sender>, refresh: Duration) {
    loop {
        let Some(health) = sender.upgrade().map(|sender| sender.health.clone()) else { return };
        let _ = tokio::time::timeout(refresh, health.changed.notified()).await;
        let Some(sender) = sender.upgrade() else { return };
        let looked = tokio::task::spawn_blocking(move || {
            if sender.health.is_fatal()
                && let Err(error) = sender.replace_producers()
            {
                tracing::error!(target: "bindwright::kafka", "{error}");
            }
            if sender.partitions.load().is_none() {
                // Nobody has sent yet: the first call asks.
                return true;
            }
            match sender.connection().topic_partitions(sender.topic(), Duration::from_secs(1)) {
                Ok(count) => {
                    sender.set_partitions(usize::try_from(count).unwrap_or_default());
                    sender.health.mark_reachable();
                    sender.pump_all();
                    true
                }
                Err(_) => sender.health.is_reachable(),
            }
        });
        if !looked.await.unwrap_or(true) {
            // Away: ask again soon, without waiting for further bad news.
            tokio::time::sleep(Duration::from_millis(200)).await;
            health.changed.notify_one();
        }
    }
}
