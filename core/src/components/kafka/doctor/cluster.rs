//! Logging in, the cluster as a whole, and whether the addresses that its brokers give can be reached from here.

use std::time::{Duration, Instant};

use super::super::ffi::describe::{self, ClusterDescription};
use super::super::settings::{Mechanism, Sasl, TokenSource};
use super::Patient;
use super::reach::is_reachable;
use crate::error::{Error, ErrorCode};
use crate::inspect::Examination;

/// Logs in and asks for the cluster.
pub(super) fn look_at(
    patient: &Patient<'_>,
    examination: &mut Examination<'_>,
) -> Option<ClusterDescription> {
    let sasl = patient.settings.security.sasl.as_ref();
    match sasl {
        None => examination.skip("credentials", "the component does not log in"),
        Some(sasl) => {
            examination.step("credentials", "", |deadline, notes| {
                notes.fact("mechanism", mechanism(sasl));
                // Nobody else is answered.
                patient.asking.metadata(first_topic(patient), deadline, &|| false).map(drop)
            })?;
        }
    }
    let cluster = examination.step("cluster", "", |deadline, notes| {
        // With a topic, because a question for none would be one for all of them.
        let metadata = patient.asking.metadata(first_topic(patient), deadline, &|| false)?;
        let listed = metadata.brokers().iter().map(|broker| {
            (broker.id(), broker.host().to_owned(), u16::try_from(broker.port()).unwrap_or_default())
        });
        let listed = listed.collect();
        let described = describe::cluster(patient.asking.client(), left(deadline));
        let cluster = described.unwrap_or_else(|refusal| {
            notes.note(format!("the broker does not describe the cluster: {}", refusal.text));
            ClusterDescription { id: None, controller: None, brokers: listed }
        });
        if let Some(id) = &cluster.id {
            notes.fact("id", id);
        }
        if let Some(controller) = cluster.controller {
            notes.fact("controller", controller);
        }
        let brokers = cluster.brokers.iter().map(|(id, host, port)| format!("{id} at {host}:{port}"));
        notes.fact("brokers", brokers.collect::<Vec<_>>().join(", "));
        Ok(cluster)
    })?;
    for (id, host, port) in &cluster.brokers {
        advertised(*id, host, *port, examination);
    }
    Some(cluster)
}

/// The classic fault: the seed answers, and sends everybody to an address that only its own network knows.
fn advertised(id: i32, host: &str, port: u16, examination: &mut Examination<'_>) {
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    examination.step("advertised address", &address, |deadline, notes| {
        notes.fact("broker", id);
        is_reachable(&address, deadline).map_err(|error| {
            let message = format!("broker {id} sends clients to {address}, which cannot be reached from here");
            Error::new(ErrorCode::Unavailable, message).backend(error.to_string()).advice(
                "Set the broker's `advertised.listeners` to an address that clients can reach, or make that one \
                 reachable.",
            )
        })
    });
}

pub(super) fn first_topic<'a>(patient: &'a Patient<'_>) -> Option<&'a str> {
    let settings = patient.settings;
    settings.publish_topic.as_deref().or_else(|| settings.topics.first().map(String::as_str))
}

/// What is left of a step.
pub(super) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn mechanism(sasl: &Sasl) -> &'static str {
    match sasl {
        Sasl::Password { mechanism: Mechanism::Plain, .. } => "PLAIN",
        Sasl::Password { mechanism: Mechanism::ScramSha256, .. } => "SCRAM-SHA-256",
        Sasl::Password { mechanism: Mechanism::ScramSha512, .. } => "SCRAM-SHA-512",
        Sasl::Token(source) => match **source {
            TokenSource::Oidc(_) => "OAUTHBEARER, token of an OIDC server",
            TokenSource::Aws(_) => "OAUTHBEARER, token of AWS IAM",
        },
    }
}
