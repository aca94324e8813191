//! The consumer group of a component, without joining it: who is in it, and how far it is behind.

use std::time::Instant;

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::super::asking::Asking;
use super::super::failure;
use super::super::ffi::describe::{self, GroupDescription, Spot};
use super::super::journal::partitions_of;
use super::super::settings::{InitialOffset, RebalanceStrategy};
use super::Patient;
use super::cluster::left;
use super::topics::check;
use crate::error::{Error, ErrorCode, Result};
use crate::inspect::{Examination, Notes};

/// More partitions are only counted together.
const MOST_LISTED: usize = 20;

pub(super) fn look_at(patient: &Patient<'_>, examination: &mut Examination<'_>) {
    if !patient.receives {
        return;
    }
    let Some(group) = patient.settings.consumer_group.as_deref() else {
        examination.step("group", "", |_, _| -> Result<()> {
            Err(Error::new(ErrorCode::InvalidSettings, "consumerGroup: needed to receive, and not set"))
        });
        return;
    };
    let mut allowed = None;
    examination.step("group", group, |deadline, notes| {
        let described = describe::group(patient.asking.client(), group, left(deadline));
        match described {
            Ok(described) => {
                members(patient, group, &described, notes);
                allowed = Some(described.allowed);
                Ok(())
            }
            Err(refusal) if refusal.code == RDKafkaErrorCode::UnsupportedFeature => {
                notes.skip("the broker does not describe groups");
                Ok(())
            }
            Err(refusal) => {
                let error = Asking::refused(&refusal, &format!("group {group:?} cannot be looked at"));
                Err(match error.code() {
                    ErrorCode::PermissionDenied => error.advice(format!(
                        "Give the user the operations Read and Describe on group {group:?}."
                    )),
                    _ => error,
                })
            }
        }
    });
    if let Some(allowed) = allowed {
        examination.step("permissions", group, |_, notes| {
            check(Ok(allowed), &["READ"], &format!("group {group:?}"), notes)
        });
    }
    examination.step("lag", group, |deadline, notes| lag(patient, deadline, notes));
}

fn members(patient: &Patient<'_>, group: &str, described: &GroupDescription, notes: &mut Notes) {
    notes.fact("state", described.state);
    notes.fact("members", described.members.len());
    for (client, host) in described.members.iter().take(MOST_LISTED) {
        notes.fact("member", format!("{client} on {}", host.trim_start_matches('/')));
    }
    if described.strategy.is_empty() || described.members.is_empty() {
        return;
    }
    notes.fact("strategy", &described.strategy);
    let ours = match patient.settings.raw.consumer_group_rebalance_strategy {
        RebalanceStrategy::Range => "range",
        RebalanceStrategy::RoundRobin => "roundrobin",
        RebalanceStrategy::Sticky => "cooperative-sticky",
    };
    if described.strategy != ours {
        let message = format!(
            "the members of group {group:?} share partitions by {:?}, and the component by {ours:?}",
            described.strategy
        );
        notes.fault(Error::new(ErrorCode::InvalidSettings, message).advice(
            "Set `consumerGroupRebalanceStrategy` as the other members have it, or use another `consumerGroup`.",
        ));
    }
}

/// What is committed, against what is there.
fn lag(patient: &Patient<'_>, deadline: Instant, notes: &mut Notes) -> Result<()> {
    let asking = &patient.asking;
    let mut list = TopicPartitionList::new();
    for topic in &patient.settings.topics {
        // A topic that is not there was told of before.
        let Ok(count) = partitions_of(asking, topic, deadline, &|| false) else { continue };
        list.add_partition_range(topic, 0, count - 1);
    }
    if list.count() == 0 {
        notes.skip("there is no partition");
        return Ok(());
    }
    let what = "the committed offsets cannot be had";
    let committed = asking.consumer.committed_offsets(list.clone(), left(deadline));
    let committed = committed.map_err(|error| failure::from_kafka(&error, what))?;
    let spots = |spot| {
        describe::spots(asking.client(), &list, spot, left(deadline))
            .map_err(|refusal| Asking::refused(&refusal, "the offsets of the topics cannot be had"))
    };
    let (oldest, newest) = (spots(Spot::Oldest)?, spots(Spot::Newest)?);
    let of = |found: &[describe::SpotFound], topic: &str, number: i32| {
        let one = found.iter().find(|(name, partition, _)| name == topic && *partition == number)?;
        one.2.ok().map(|(offset, _)| offset)
    };
    let (mut total, mut without, mut partitions) = (0, 0, Vec::new());
    for one in committed.elements() {
        let (topic, number) = (one.topic(), one.partition());
        one.error().map_err(|error| failure::from_kafka(&error, what))?;
        let (Some(oldest), Some(newest)) = (of(&oldest, topic, number), of(&newest, topic, number)) else {
            continue;
        };
        let (text, start) = if let Offset::Offset(offset) = one.offset() {
            (offset.to_string(), offset.max(oldest))
        } else {
            without += 1;
            let start = match patient.settings.initial_offset {
                InitialOffset::Newest => newest,
                InitialOffset::Oldest => oldest,
            };
            ("nothing".to_owned(), start)
        };
        if matches!(one.offset(), Offset::Offset(offset) if offset < oldest) {
            let message = format!("records of {topic}/{number} were deleted before the group had read them");
            notes.warn(
                Error::new(ErrorCode::Backend, message)
                    .advice("Keep records for longer (the topic's `retention.ms`), or read faster."),
            );
        }
        total += (newest - start).max(0);
        partitions.push(format!("{topic}/{number}: committed {text} of {newest}"));
    }
    notes.fact("records not read", total);
    if without > 0 {
        notes.fact("partitions without an offset", without);
    }
    let unlisted = partitions.len().saturating_sub(MOST_LISTED);
    for partition in partitions.into_iter().take(MOST_LISTED) {
        notes.fact("partition", partition);
    }
    if unlisted > 0 {
        notes.fact("partitions not listed", unlisted);
    }
    Ok(())
}
