//! Topics that a consumer is subscribed to and that do not exist, or may not be read.
//!
//! The client library says once that there is such a topic, not which one, and looks for it again only when it
//! refreshes all it knows, minutes later.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use super::consumer::{KafkaConsumer, QUESTION_PATIENCE, Status};
use super::failure;
use super::guard::log;

/// How often a missing topic is asked for.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct MissingTopics {
    missing: Vec<String>,
    /// Those of them that exist, perhaps, and may not be read.
    denied: Vec<String>,
    ask_at: Option<Instant>,
}

impl MissingTopics {
    /// The client library has said that a topic does not exist.
    pub(super) fn suspect(&mut self) {
        self.ask_at.get_or_insert_with(Instant::now);
    }

    /// Partitions were assigned: perhaps of one that was missing.
    pub(super) fn look_again(&mut self) {
        if !self.missing.is_empty() {
            self.ask_at = Some(Instant::now());
        }
    }

    /// The topics that do not exist.
    pub(super) fn topics(&self) -> impl Iterator<Item = &String> {
        self.missing.iter().filter(|topic| !self.denied.contains(topic))
    }

    pub(super) fn is_due(&self) -> bool {
        self.ask_at.is_some_and(|due| due <= Instant::now())
    }

    /// Asks which topics do not exist and tells the status; `true` when one has appeared since, so that subscribing
    /// again is the quickest way to be given its partitions.
    pub(super) fn look(&mut self, consumer: &KafkaConsumer, topics: &[String], status: &Status) -> bool {
        self.ask_at = Some(Instant::now() + PAUSE);
        let (mut missing, mut denied) = (Vec::new(), Vec::new());
        for topic in topics {
            // No answer is no news.
            let Ok(metadata) = consumer.fetch_metadata(Some(topic), QUESTION_PATIENCE) else { return false };
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let refused = found.and_then(rdkafka::metadata::MetadataTopic::error).map(RDKafkaErrorCode::from);
            if refused == Some(RDKafkaErrorCode::TopicAuthorizationFailed) {
                denied.push(topic.clone());
            }
            if !found.is_some_and(|found| found.error().is_none() && !found.partitions().is_empty()) {
                missing.push(topic.clone());
            }
        }
        if missing.is_empty() {
            self.ask_at = None;
        }
        let appeared = self.missing.iter().any(|topic| !missing.contains(topic));
        if missing != self.missing || denied != self.denied {
            let error = (!missing.is_empty()).then(|| {
                if !denied.is_empty() {
                    return failure::denied_to_read(
                        &denied.join(", "),
                        RDKafkaErrorCode::TopicAuthorizationFailed,
                    );
                }
                let what = format!("topic {:?} does not exist", missing.join(", "));
                failure::from_code(RDKafkaErrorCode::UnknownTopicOrPartition, &what)
            });
            if let Some(error) = &error {
                log!(warn, "{error}");
            }
            status.set_missing(error);
            (self.missing, self.denied) = (missing, denied);
        }
        appeared
    }
}
