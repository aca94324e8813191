//! Whether the clocks here and there agree, and whether the servers beside the brokers answer.
//!
//! Compared are the times that brokers gave to records, where topics let the broker do it, and the `Date` of answers
//! over HTTP. Tokens and certificates are refused where clocks are apart.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{AUTHORIZATION, DATE};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::super::ffi::describe::{self, Holder, Spot};
use super::super::journal::partitions_of;
use super::super::settings::{KafkaSettings, TokenSource};
use super::Patient;
use super::cluster::left;
use super::reach::wait;
use crate::error::{Error, ErrorCode, Result};
use crate::http::{HttpClient, basic};
use crate::inspect::{Examination, Notes, read_http_date};
use crate::tls::Tls;

/// Clocks may be so far apart.
const MOST: Duration = Duration::from_secs(5);

/// A server beside the brokers.
pub(super) struct Endpoint {
    step: &'static str,
    address: String,
    tls: Tls,
    /// User and password.
    login: Option<(String, String)>,
    /// It answers this question with success, and others that work may refuse it.
    expects_success: bool,
}

pub(super) fn endpoints(settings: &KafkaSettings) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    if let Some(registry) = &settings.schemas.registry {
        for address in &registry.addresses {
            let login = address.credentials.as_ref();
            endpoints.push(Endpoint {
                step: "schema registry",
                address: format!("{}/subjects", address.base),
                tls: registry.tls.clone(),
                login: login.map(|(user, password)| (user.expose().to_owned(), password.expose().to_owned())),
                expects_success: true,
            });
        }
    }
    if let Some(TokenSource::Oidc(oidc)) = settings.security.token_source() {
        endpoints.push(Endpoint {
            step: "token server",
            address: oidc.endpoint.clone(),
            tls: oidc.tls.clone(),
            login: None,
            // It is asked without credentials here: any answer means that it is there.
            expects_success: false,
        });
    }
    endpoints
}

/// Asks the servers beside the brokers.
pub(super) fn look_at(endpoints: &[Endpoint], examination: &mut Examination<'_>) {
    for endpoint in endpoints {
        // Without what may stand behind the host, which can be a secret.
        let subject = endpoint.address.parse::<http::Uri>().ok();
        let subject = subject.and_then(|uri| uri.authority().map(|authority| authority.host().to_owned()));
        examination.step(endpoint.step, &subject.unwrap_or_default(), |deadline, notes| {
            ask(endpoint, deadline, notes)
        });
    }
}

fn ask(endpoint: &Endpoint, deadline: Instant, notes: &mut Notes) -> Result<()> {
    let unfit = |error: http::Error| {
        Error::new(ErrorCode::InvalidSettings, "the address cannot be used").backend(error.to_string())
    };
    let mut request = http::Request::get(&endpoint.address);
    if let Some((user, password)) = &endpoint.login {
        request = request.header(AUTHORIZATION, basic(user, password));
    }
    let request = request.body(Bytes::new()).map_err(unfit)?;
    let client = HttpClient::new(&endpoint.tls)?;
    let answer = wait(client.send(request, deadline))?;
    let status = answer.status();
    notes.fact("status", status.as_u16());
    if let Some(date) = answer.headers().get(DATE).and_then(|date| date.to_str().ok()) {
        notes.fact("clock there", date);
        if let Some(there) = read_http_date(date) {
            compare(there, SystemTime::now(), endpoint.step, notes);
        }
    }
    if endpoint.expects_success && !status.is_success() {
        let code = match status.as_u16() {
            401 => ErrorCode::Unauthenticated,
            403 => ErrorCode::PermissionDenied,
            404 => ErrorCode::TargetNotFound,
            _ => ErrorCode::Backend,
        };
        let message = format!("the {} answers with status {}", endpoint.step, status.as_u16());
        return Err(Error::new(code, message));
    }
    Ok(())
}

/// Tells of clocks that are apart.
fn compare(there: SystemTime, here: SystemTime, whose: &str, notes: &mut Notes) {
    let (apart, how) = match here.duration_since(there) {
        Ok(apart) => (apart, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    notes.fact("clocks apart", format!("{} s", apart.as_secs()));
    if apart > MOST {
        let message = format!("the clock of this machine is {} s {how} that of the {whose}", apart.as_secs());
        notes.warn(Error::new(ErrorCode::Backend, message).advice(
            "Let both machines take their time from the network; tokens and certificates depend on it.",
        ));
    }
}

/// Looks at the newest records whose time a broker gave: none of them can be from the future.
pub(super) fn look_at_records(patient: &Patient<'_>, examination: &mut Examination<'_>) {
    let settings = patient.settings;
    let topics = settings.topics.iter().filter(|_| patient.receives);
    let topics = topics.chain(settings.publish_topic.iter().filter(|_| patient.sends));
    let topics: Vec<String> = topics.cloned().collect();
    if topics.is_empty() {
        return;
    }
    examination.step("clock", "", |deadline, notes| {
        for topic in &topics {
            let (client, patience) = (patient.asking.client(), left(deadline));
            let settings = describe::settings(client, Holder::Topic, topic, patience).unwrap_or_default();
            if settings.get("message.timestamp.type").is_none_or(|kind| kind != "LogAppendTime") {
                continue;
            }
            let Ok(count) = partitions_of(&patient.asking, topic, deadline, &|| false) else { continue };
            let mut list = TopicPartitionList::new();
            list.add_partition_range(topic, 0, count - 1);
            let found = describe::spots(client, &list, Spot::Latest, left(deadline));
            let times = found.unwrap_or_default();
            let newest = times.iter().filter_map(|(_, _, answer)| answer.ok()).map(|(_, time)| time).max();
            let Some(newest) = newest.and_then(|time| u64::try_from(time).ok()).filter(|time| *time > 0)
            else {
                continue;
            };
            let there = UNIX_EPOCH + Duration::from_millis(newest);
            notes.fact("compared", format!("the newest record of {topic:?}, whose time the broker gave"));
            let here = SystemTime::now();
            if there > here {
                compare(there, here, "broker", notes);
            }
            return Ok(());
        }
        notes.skip("no topic has records whose time the broker gave (message.timestamp.type LogAppendTime)");
        Ok(())
    });
}
