//! The topics of a component: are they there, can they take and give what the component wants, may it use them.

use std::collections::BTreeMap;
use std::time::Instant;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;

use super::super::asking::Asking;
use super::super::failure;
use super::super::ffi::describe::{self, ClusterDescription, Holder};
use super::super::settings::RequiredAcks;
use super::Patient;
use super::cluster::left;
use crate::error::{Error, ErrorCode, Result};
use crate::inspect::{Examination, Notes};

/// What a topic is for.
#[derive(Clone, Copy)]
struct Use<'a> {
    topic: &'a str,
    sends: bool,
    receives: bool,
}

pub(super) fn look_at(
    patient: &Patient<'_>,
    cluster: &ClusterDescription,
    examination: &mut Examination<'_>,
) {
    let mut uses: Vec<Use<'_>> = Vec::new();
    if patient.receives {
        let topics = patient.settings.topics.iter();
        uses.extend(topics.map(|topic| Use { topic, sends: false, receives: true }));
    }
    if let Some(topic) = patient.settings.publish_topic.as_deref().filter(|_| patient.sends) {
        match uses.iter_mut().find(|one| one.topic == topic) {
            Some(known) => known.sends = true,
            None => uses.push(Use { topic, sends: true, receives: false }),
        }
    }
    if uses.is_empty() {
        examination.skip("topic", "the component names none");
    }
    for one in uses {
        let is_there = examination
            .step("topic", one.topic, |deadline, notes| topic(patient, cluster, one, deadline, notes));
        match is_there {
            Some(true) => permissions(patient, one, examination),
            _ => examination.skip("permissions", "the topic cannot be looked at"),
        }
    }
}

/// `false` when the topic is not there yet.
fn topic(
    patient: &Patient<'_>,
    cluster: &ClusterDescription,
    one: Use<'_>,
    deadline: Instant,
    notes: &mut Notes,
) -> Result<bool> {
    let metadata = patient.asking.metadata(Some(one.topic), deadline, &|| false)?;
    let found = metadata.topics().iter().find(|found| found.name() == one.topic);
    let code = match found.map(MetadataTopic::error) {
        Some(Some(code)) => Some(code.into()),
        Some(None) => None,
        None => Some(RDKafkaErrorCode::UnknownTopicOrPartition),
    };
    if let Some(code) = code {
        if failure::is_unknown(code) {
            return missing(patient, cluster, one, deadline, notes);
        }
        let error = failure::from_code(code, &format!("topic {:?} cannot be looked at", one.topic));
        return Err(match error.code() {
            ErrorCode::PermissionDenied => {
                error.advice(format!("Give the user the operation Describe on topic {:?}.", one.topic))
            }
            _ => error,
        });
    }
    if let Some(found) = found {
        partitions(found, notes);
        let settings = describe::settings(patient.asking.client(), Holder::Topic, one.topic, left(deadline));
        match settings {
            Ok(settings) => compare(patient, one, found, &settings, notes),
            Err(refusal) => notes.note(format!("its settings cannot be seen: {}", refusal.text)),
        }
    }
    Ok(true)
}

fn missing(
    patient: &Patient<'_>,
    cluster: &ClusterDescription,
    one: Use<'_>,
    deadline: Instant,
    notes: &mut Notes,
) -> Result<bool> {
    let error = Error::new(ErrorCode::TargetNotFound, format!("topic {:?} does not exist", one.topic));
    let broker = cluster.brokers.first().map(|(id, _, _)| id.to_string()).unwrap_or_default();
    let patience = left(deadline);
    let settings = describe::settings(patient.asking.client(), Holder::Broker, &broker, patience);
    let is_made = settings
        .is_ok_and(|settings| settings.get("auto.create.topics.enable").is_some_and(|value| value == "true"));
    if is_made {
        notes.warn(
            error.note("the broker makes it on first use").advice(
                "Create it with the partitions and replicas that it should have, or correct its name.",
            ),
        );
        return Ok(false);
    }
    Err(error)
}

fn partitions(found: &MetadataTopic, notes: &mut Notes) {
    let partitions = found.partitions();
    notes.fact("partitions", partitions.len());
    let replicas = partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or_default();
    notes.fact("replicas", replicas);
    let listed = |is: &dyn Fn(&rdkafka::metadata::MetadataPartition) -> bool| {
        let numbers: Vec<_> =
            partitions.iter().filter(|one| is(one)).map(|one| one.id().to_string()).collect();
        (!numbers.is_empty()).then(|| numbers.join(", "))
    };
    if let Some(numbers) = listed(&|one| one.leader() < 0) {
        let message = format!("nobody leads partition {numbers} of {:?}", found.name());
        notes.fault(Error::new(ErrorCode::Unavailable, message).advice(
            "Start the brokers that have its replicas; until then it can be neither written nor read.",
        ));
    }
    if let Some(numbers) = listed(&|one| one.isr().len() < one.replicas().len()) {
        let message = format!("replicas of partition {numbers} of {:?} lag behind or are away", found.name());
        notes.warn(Error::new(ErrorCode::Backend, message).advice("Look after the brokers that have them."));
    }
}

/// Settings of the topic against those of the component.
fn compare(
    patient: &Patient<'_>,
    one: Use<'_>,
    found: &MetadataTopic,
    settings: &BTreeMap<String, String>,
    notes: &mut Notes,
) {
    let number = |name: &str| settings.get(name).and_then(|value| value.parse::<u64>().ok());
    if let Some(most) = number("max.message.bytes") {
        notes.fact("max.message.bytes", most);
        let ours = patient.settings.max_message_bytes;
        if one.sends && ours > most {
            let message = format!(
                "maxMessageBytes is {ours}, and topic {:?} takes records of up to {most} bytes",
                one.topic
            );
            notes.warn(
                Error::new(ErrorCode::PayloadTooLarge, message)
                    .advice("Lower `maxMessageBytes`, or raise the topic's `max.message.bytes`."),
            );
        }
    }
    if let Some(policy) = settings.get("cleanup.policy") {
        notes.fact("cleanup.policy", policy);
        if one.sends && policy.contains("compact") {
            notes.note("the topic is compacted: records without a key are refused");
        }
    }
    if let Some(least) = number("min.insync.replicas") {
        notes.fact("min.insync.replicas", least);
        let in_sync = found.partitions().iter().map(|partition| partition.isr().len() as u64).min();
        let asks_for_all = patient.settings.raw.producer_required_acks == RequiredAcks::All;
        if one.sends && asks_for_all && in_sync.is_some_and(|in_sync| in_sync < least) {
            let message = format!(
                "a partition of {:?} has fewer replicas in sync than the topic's min.insync.replicas, {least}",
                one.topic
            );
            notes.fault(
                Error::new(ErrorCode::Backend, message).advice(
                    "Look after the brokers that have its replicas; until then nothing can be written.",
                ),
            );
        }
    }
}

fn permissions(patient: &Patient<'_>, one: Use<'_>, examination: &mut Examination<'_>) {
    examination.step("permissions", one.topic, |deadline, notes| {
        let patience = left(deadline);
        let allowed = describe::topic_permissions(patient.asking.client(), one.topic, patience);
        let what = format!("topic {:?}", one.topic);
        let mut needed = Vec::new();
        needed.extend(one.receives.then_some("READ"));
        needed.extend(one.sends.then_some("WRITE"));
        check(allowed, &needed, &what, notes)
    });
}

/// Compares what is allowed with what is needed.
pub(super) fn check(
    allowed: Result<describe::Allowed, describe::Refusal>,
    needed: &[&str],
    what: &str,
    notes: &mut Notes,
) -> Result<()> {
    let allowed = match allowed {
        Ok(allowed) => allowed,
        Err(refusal) if refusal.code == RDKafkaErrorCode::UnsupportedFeature => {
            notes.skip("the broker does not tell");
            return Ok(());
        }
        Err(refusal) => {
            return Err(Asking::refused(&refusal, &format!("the permissions for {what} cannot be seen")));
        }
    };
    let Some(allowed) = allowed else {
        notes.skip("the broker does not tell");
        return Ok(());
    };
    notes.fact("allowed", allowed.join(", "));
    for operation in needed {
        if !allowed.contains(operation) && !allowed.contains(&"ALL") {
            let message = format!("the operation {operation} on {what} is not allowed");
            notes.fault(
                Error::new(ErrorCode::PermissionDenied, message)
                    .advice(format!("Give the user the operation {operation} on {what}.")),
            );
        }
    }
    Ok(())
}
