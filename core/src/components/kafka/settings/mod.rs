//! Settings of a Kafka component: what the document can say is in `raw.rs`, who the component is towards brokers in
//! `security.rs`; the librdkafka options they become are in `../options.rs`.

mod effect;
mod raw;
mod security;

use std::time::Duration;

use regex_lite::Regex;

use crate::error::{Error, ErrorCode, Result};
use crate::manifest::Component;
use crate::policy::Backoff;
use crate::settings::{self, CommaList, Millis, RuntimeSettings, Seconds};

use raw::{BackOffPolicy, Raw};
pub(super) use raw::{Compression, InitialOffset, RebalanceStrategy, RequiredAcks};
pub(super) use security::{Aws, Mechanism, Oidc, Proof, Sasl, Security, TokenSource};

/// Less or more than these for `stallTimeout` means the same.
const SHORTEST_STALL: Duration = Duration::from_millis(100);
const LONGEST_STALL: Duration = Duration::from_hours(24);

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
    pub(super) security: Security,
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
        let security = Security::of(&raw, &invalid, &mut warn)?;
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
                security,
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
