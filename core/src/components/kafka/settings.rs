//! Settings of a Kafka component; the librdkafka options they become are in `options.rs`.

use std::time::Duration;

use regex_lite::Regex;
use serde::Deserialize;

use crate::error::{Error, ErrorCode, Result};
use crate::manifest::Component;
use crate::policy::Backoff;
use crate::settings::{
    self, ByteSize, CommaList, Flag, Millis, RuntimeSettings, Seconds, Secret, StrictFlag,
};

/// Less or more than these for `stallTimeout` means the same.
const SHORTEST_STALL: Duration = Duration::from_millis(100);
const LONGEST_STALL: Duration = Duration::from_hours(24);

/// Settings of `bindings.kafka/v1`. Names match without regard to case.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Raw {
    /// Seed brokers, `host:port`, separated by commas.
    brokers: CommaList,
    /// Topics to receive from, separated by commas.
    topics: Option<CommaList>,
    /// The topic to send to.
    publish_topic: Option<String>,
    /// The consumer group; needed to receive.
    #[serde(alias = "consumerID")]
    consumer_group: Option<String>,
    /// How the client calls itself. Default `bindwright`.
    #[serde(rename = "clientID")]
    pub(super) client_id: Option<String>,
    /// Where a group starts that has no committed offset: `newest` (default) or `oldest`.
    #[serde(default)]
    initial_offset: InitialOffset,
    /// The protocol version of old clients; ignored, because versions are negotiated with the broker.
    #[serde(rename = "version")]
    _version: Option<String>,
    /// Largest record that is sent, in bytes. Default 1 MiB.
    max_message_bytes: Option<ByteSize>,
    auth_type: Option<String>,
    auth_required: Option<StrictFlag>,
    /// Deliver failed events again with the `backOff…` settings; without it with a pause that grows from 100 ms
    /// to 30 s. Failed events are never skipped.
    #[serde(default)]
    consume_retry_enabled: Flag,
    /// Pause before a failed connection is tried again. Default `100ms`.
    consume_retry_interval: Option<Millis>,
    /// `constant` (default) or `exponential`.
    #[serde(default)]
    back_off_policy: BackOffPolicy,
    /// The constant pause. Default `5s`.
    back_off_duration: Option<Millis>,
    /// The first exponential pause. Default `500ms`.
    back_off_initial_interval: Option<Millis>,
    /// The part drawn by chance, 0 to 1. Default 0.5.
    back_off_randomization_factor: Option<f64>,
    /// What the pause grows by. Default 1.5.
    back_off_multiplier: Option<f64>,
    /// The longest pause. Default `60s`.
    back_off_max_interval: Option<Millis>,
    /// Accepted; the number of deliveries is what limits retries.
    #[serde(rename = "backOffMaxElapsedTime")]
    _back_off_max_elapsed_time: Option<Millis>,
    /// Deliveries after the first one; -1 (default) for ever. After the last one the event holds its partition.
    back_off_max_retries: Option<i64>,
    /// Default `3s`.
    pub(super) heartbeat_interval: Option<Seconds>,
    /// Default `10s`.
    session_timeout: Option<Seconds>,
    /// Least bytes per fetch. Default 1.
    pub(super) consumer_fetch_min: Option<u32>,
    /// Bytes per partition and fetch. Default 1 MiB.
    pub(super) consumer_fetch_default: Option<u32>,
    /// Accepted; `maxUncommitted` bounds what is read ahead.
    #[serde(rename = "channelBufferSize")]
    _channel_buffer_size: Option<u32>,
    /// `range` (default), `roundrobin`, or `sticky` (cooperative; cannot share a group with eager `sticky`).
    #[serde(default)]
    pub(super) consumer_group_rebalance_strategy: RebalanceStrategy,
    /// Default `8m`.
    client_connection_topic_metadata_refresh_interval: Option<Seconds>,
    /// TCP keep-alive: on when positive.
    pub(super) client_connection_keep_alive_interval: Option<Seconds>,
    /// How long connecting may take. Default `30s`.
    pub(super) dial_timeout: Option<Seconds>,
    /// How long an answer may take; the longest of the three that are given counts. Default `60s`.
    pub(super) read_timeout: Option<Seconds>,
    pub(super) write_timeout: Option<Seconds>,
    pub(super) metadata_timeout: Option<Seconds>,
    /// `none` (default), `gzip`, `snappy`, `lz4`, `zstd`.
    #[serde(default)]
    pub(super) compression: Compression,
    /// `all` (default), `local`, `none`.
    #[serde(default)]
    pub(super) producer_required_acks: RequiredAcks,
    /// How often a record is sent again; without it as often as its time allows.
    pub(super) producer_retry_max: Option<u32>,
    /// Query-escape event metadata that comes from keys and headers.
    #[serde(default)]
    escape_headers: Flag,
    /// Names that are neither sent as headers nor received as metadata.
    exclude_header_meta_regex: Option<String>,
    /// Ours: a partition that delivers nothing for so long, although the broker has more and there is room, is read
    /// anew with another consumer, from the committed offsets. Default `60s`, because the client library itself mends
    /// a lost answer within that; `0` switches it off. Found after one to two of these times.
    stall_timeout: Option<Seconds>,
    /// Ours: no record is written twice and none overtakes another when the client has to send again. Default true
    /// where `producerRequiredAcks` is `all`.
    pub(super) producer_idempotence: Option<Flag>,
    /// Ours: most connections per broker that sending may open. Default 8.
    producer_connections: Option<u32>,
    /// Ours: most records that wait for the broker's confirmation. Default 100,000.
    max_queued_records: Option<u32>,
    /// Ours: most bytes that wait for the broker's confirmation. Default 64 MiB.
    max_queued_bytes: Option<ByteSize>,

    // Known, but of no effect without the security and schema settings that a later version brings.
    sasl_username: Option<Secret>,
    sasl_password: Option<Secret>,
    ca_cert: Option<Secret>,
    client_cert: Option<Secret>,
    client_key: Option<Secret>,
    #[serde(rename = "schemaRegistryURL")]
    schema_registry_url: Option<Secret>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum InitialOffset {
    #[default]
    Newest,
    Oldest,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum BackOffPolicy {
    #[default]
    Constant,
    Exponential,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RebalanceStrategy {
    #[default]
    Range,
    Sticky,
    RoundRobin,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compression {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RequiredAcks {
    #[default]
    All,
    Local,
    None,
}

/// Checked settings.
#[derive(Debug)]
pub(super) struct KafkaSettings {
    pub(super) publish_topic: Option<String>,
    pub(super) topics: Vec<String>,
    pub(super) consumer_group: Option<String>,
    pub(super) initial_offset: InitialOffset,
    pub(super) backoff: Backoff,
    pub(super) reconnect_pause: Duration,
    pub(super) session_timeout: Duration,
    pub(super) metadata_refresh: Duration,
    /// Zero when off.
    pub(super) stall_timeout: Duration,
    pub(super) escape_headers: bool,
    pub(super) exclude_headers: Option<Regex>,
    pub(super) producer_connections: usize,
    pub(super) max_message_bytes: u64,
    pub(super) max_queued_records: usize,
    pub(super) max_queued_bytes: usize,
    pub(super) max_uncommitted: usize,
    pub(super) raw: Raw,
    pub(super) brokers: String,
}

impl KafkaSettings {
    /// Decodes and checks; returns the warnings beside.
    pub(super) fn decode(component: &Component) -> Result<(Self, Vec<Error>)> {
        let (raw, mut warnings) = settings::decode::<Raw>(component)?;
        let runtime = RuntimeSettings::of(component)?;
        let invalid = |setting: &str, message: String| invalid(component, setting, message);
        let mut warn = |setting: &str, message: &str| warnings.push(invalid(setting, message.to_owned()));

        let mut brokers = Vec::new();
        for broker in raw.brokers.trimmed() {
            // Seen in the wild, and refused by every client library with a puzzling text.
            let bare = broker.strip_prefix("http://").or_else(|| broker.strip_prefix("https://"));
            if bare.is_some() {
                warn("brokers", "brokers are written as host:port; the http prefix is left out");
            }
            brokers.push(bare.unwrap_or(broker).trim_end_matches('/').to_owned());
        }
        if brokers.is_empty() {
            return Err(invalid("brokers", "brokers: expected host:port, got nothing".to_owned()));
        }
        check_auth(&raw, &invalid, &mut warn)?;
        let later = [
            ("saslUsername", raw.sasl_username.is_some()),
            ("saslPassword", raw.sasl_password.is_some()),
            ("caCert", raw.ca_cert.is_some()),
            ("clientCert", raw.client_cert.is_some()),
            ("clientKey", raw.client_key.is_some()),
            ("schemaRegistryURL", raw.schema_registry_url.is_some()),
        ];
        for (setting, _) in later.into_iter().filter(|(_, given)| *given) {
            warn(setting, &format!("{setting} has no effect in this version"));
        }
        let exclude_headers = match raw.exclude_header_meta_regex.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => Some(Regex::new(text).map_err(|error| {
                invalid("excludeHeaderMetaRegex", format!("excludeHeaderMetaRegex: not a pattern: {error}"))
            })?),
            None => None,
        };
        let max_message_bytes = raw.max_message_bytes.map_or(0, |size| size.0);
        let max_message_bytes = if max_message_bytes == 0 { 1 << 20 } else { max_message_bytes };
        if !(1_000..=1_000_000_000).contains(&max_message_bytes) {
            return Err(invalid(
                "maxMessageBytes",
                format!("maxMessageBytes: expected 1000 to 1000000000 bytes, got {max_message_bytes}"),
            ));
        }
        let text = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let positive = |interval: &Option<Seconds>, default: u64| {
            let given = interval.as_ref().map_or(Duration::ZERO, |interval| interval.0);
            if given.is_zero() { Duration::from_secs(default) } else { given }
        };
        Ok((
            Self {
                publish_topic: text(&raw.publish_topic),
                topics: raw.topics.iter().flat_map(CommaList::trimmed).map(str::to_owned).collect(),
                consumer_group: text(&raw.consumer_group),
                initial_offset: raw.initial_offset,
                backoff: backoff(&raw),
                reconnect_pause: raw
                    .consume_retry_interval
                    .as_ref()
                    .map_or(Duration::from_millis(100), |interval| interval.0),
                session_timeout: positive(&raw.session_timeout, 10),
                metadata_refresh: positive(&raw.client_connection_topic_metadata_refresh_interval, 8 * 60),
                stall_timeout: raw.stall_timeout.as_ref().map_or(Duration::from_mins(1), |timeout| {
                    if timeout.0.is_zero() {
                        timeout.0
                    } else {
                        timeout.0.clamp(SHORTEST_STALL, LONGEST_STALL)
                    }
                }),
                escape_headers: raw.escape_headers.0,
                exclude_headers,
                producer_connections: raw.producer_connections.unwrap_or(8).clamp(1, 64) as usize,
                max_message_bytes,
                max_queued_records: raw.max_queued_records.unwrap_or(100_000).max(1) as usize,
                max_queued_bytes: raw.max_queued_bytes.map_or(64 << 20, |size| size.0).clamp(1, 1 << 40)
                    as usize,
                max_uncommitted: runtime.max_uncommitted as usize,
                brokers: brokers.join(","),
                raw,
            },
            warnings,
        ))
    }
}

fn invalid(component: &Component, setting: &str, message: String) -> Error {
    let property = component.properties.iter().find(|property| property.name.eq_ignore_ascii_case(setting));
    let place = property.map_or(&component.place, |property| &property.value_place);
    Error::new(ErrorCode::InvalidSettings, message).component(component.name.clone()).place(place.clone())
}

fn check_auth(
    raw: &Raw,
    invalid: &impl Fn(&str, String) -> Error,
    warn: &mut impl FnMut(&str, &str),
) -> Result<()> {
    let auth_type = raw.auth_type.as_deref().map(str::trim).filter(|text| !text.is_empty());
    match (auth_type, raw.auth_required.as_ref().map(|flag| flag.0)) {
        (Some(text), _) if text.eq_ignore_ascii_case("none") => Ok(()),
        (Some(text), _) => {
            Err(invalid("authType", format!("authType: this version knows only \"none\", got {text:?}")))
        }
        (None, Some(false)) => Ok(()),
        (None, Some(true)) => Err(invalid(
            "authRequired",
            "authRequired: this version connects without authentication only".to_owned(),
        )),
        (None, None) => {
            warn("authType", "neither authType nor authRequired is set; taken as authType none");
            Ok(())
        }
    }
}

fn backoff(raw: &Raw) -> Backoff {
    if !raw.consume_retry_enabled.0 {
        return Backoff::default();
    }
    let millis = |setting: &Option<Millis>, default| {
        setting.as_ref().map_or(Duration::from_millis(default), |setting| setting.0)
    };
    let retries = raw.back_off_max_retries.unwrap_or(-1);
    let retries = u32::try_from(retries).ok();
    match raw.back_off_policy {
        BackOffPolicy::Constant => {
            let pause = millis(&raw.back_off_duration, 5_000);
            Backoff { retries, ..Backoff::constant(pause) }
        }
        BackOffPolicy::Exponential => Backoff {
            initial: millis(&raw.back_off_initial_interval, 500),
            multiplier: raw.back_off_multiplier.unwrap_or(1.5),
            maximum: millis(&raw.back_off_max_interval, 60_000),
            randomization: raw.back_off_randomization_factor.unwrap_or(0.5),
            retries,
        },
    }
}
