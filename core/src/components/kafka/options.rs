//! The librdkafka options that a component's settings become; those of security are in `options/security.rs`.

mod security;

pub(super) use security::is_secret;

use std::time::Duration;

use rdkafka::ClientConfig;

use super::settings::{Compression, KafkaSettings, RebalanceStrategy, RequiredAcks};
use crate::settings::Seconds;

/// How long librdkafka may keep trying with a record that was handed to it. Callers have given up long before; this
/// only ends the doubt.
const HANDED_OVER_LIMIT: Duration = Duration::from_mins(2);
const HEARTBEAT: Duration = Duration::from_secs(3);

impl KafkaSettings {
    /// Options of both directions.
    fn common(&self) -> ClientConfig {
        let raw = &self.raw;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", raw.client_id.as_deref().filter(|id| !id.is_empty()).unwrap_or("bindwright"))
            .set("topic.metadata.refresh.interval.ms", millis(self.metadata_refresh))
            .set("socket.nagle.disable", "true")
            // A broker that comes back is found within a second.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("message.max.bytes", self.max_message_bytes.to_string())
            // No telemetry to the broker's owner that nobody asked for.
            .set("enable.metrics.push", "false");
        if let Some(timeout) = positive(raw.dial_timeout.as_ref()) {
            config.set("socket.connection.setup.timeout.ms", millis(timeout.max(Duration::from_secs(1))));
        }
        let slowest = [&raw.read_timeout, &raw.write_timeout, &raw.metadata_timeout]
            .into_iter()
            .filter_map(|timeout| positive(timeout.as_ref()))
            .max();
        if let Some(timeout) = slowest {
            config.set(
                "socket.timeout.ms",
                millis(timeout.clamp(Duration::from_secs(1), Duration::from_mins(5))),
            );
        }
        if positive(raw.client_connection_keep_alive_interval.as_ref()).is_some() {
            config.set("socket.keepalive.enable", "true");
        }
        self.security.set(&mut config);
        config
    }

    /// Options of the sending side.
    pub(super) fn producer_config(&self) -> ClientConfig {
        let acks = self.raw.producer_required_acks;
        let idempotent =
            acks == RequiredAcks::All && self.raw.producer_idempotence.as_ref().is_none_or(|flag| flag.0);
        let mut config = self.common();
        config
            .set(
                "acks",
                match acks {
                    RequiredAcks::All => "all",
                    RequiredAcks::Local => "1",
                    RequiredAcks::None => "0",
                },
            )
            .set("enable.idempotence", if idempotent { "true" } else { "false" })
            // Records gather in our own queue, per partition and only while others are out.
            .set("linger.ms", "0")
            .set(
                "compression.type",
                match self.raw.compression {
                    Compression::None => "none",
                    Compression::Gzip => "gzip",
                    Compression::Snappy => "snappy",
                    Compression::Lz4 => "lz4",
                    Compression::Zstd => "zstd",
                },
            )
            // The bounds are maxQueuedRecords and maxQueuedBytes, kept before records come here.
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "2147483647")
            .set("message.timeout.ms", millis(HANDED_OVER_LIMIT));
        if let Some(retries) = self.raw.producer_retry_max {
            // Idempotence needs at least one.
            let retries = if idempotent { retries.max(1) } else { retries };
            config.set("message.send.max.retries", retries.min(i32::MAX as u32).to_string());
        }
        config
    }

    /// Options of the receiving side.
    pub(super) fn consumer_config(&self, group: &str) -> ClientConfig {
        let raw = &self.raw;
        let mut config = self.common();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Start positions are explicit; this is only met when retention removed what was next.
            .set("auto.offset.reset", "earliest")
            // A topic that does not exist yet is made by the broker, if it may.
            .set("allow.auto.create.topics", "true")
            .set("session.timeout.ms", millis(self.session_timeout))
            .set(
                "heartbeat.interval.ms",
                millis(positive(raw.heartbeat_interval.as_ref()).unwrap_or(HEARTBEAT)),
            )
            .set(
                "partition.assignment.strategy",
                match raw.consumer_group_rebalance_strategy {
                    RebalanceStrategy::Range => "range",
                    RebalanceStrategy::RoundRobin => "roundrobin",
                    RebalanceStrategy::Sticky => "cooperative-sticky",
                },
            )
            .set("fetch.min.bytes", raw.consumer_fetch_min.unwrap_or(1).clamp(1, 100_000_000).to_string())
            .set("fetch.wait.max.ms", "100")
            // Per partition, because each has a queue of its own: librdkafka's default would be 64 MB each.
            .set("queued.max.messages.kbytes", "4096")
            .set("queued.min.messages", "20000")
            // How long a full queue is left alone. The default of a second would starve a quick handler.
            .set("fetch.queue.backoff.ms", "5");
        if let Some(bytes) = raw.consumer_fetch_default {
            config.set("max.partition.fetch.bytes", bytes.clamp(1, 1_000_000_000).to_string());
        }
        config
    }
}

fn positive(interval: Option<&Seconds>) -> Option<Duration> {
    interval.map(|interval| interval.0).filter(|duration| !duration.is_zero())
}

fn millis(duration: Duration) -> String {
    duration.as_millis().min(3_600_000).to_string()
}
