//! Where reading starts.
//!
//! A partition without a committed offset gets its start position committed before its first event is handed out.
//! Otherwise a group that starts at the newest record would, after a crash before its first commit, start at an even
//! newer one and skip what came in between. Partitions that join a topic later start at their beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::consumer::KafkaConsumer;
use super::settings::InitialOffset;

/// How long one question to the cluster may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The offset to read next, by topic and partition.
pub(super) type Positions = BTreeMap<(String, i32), i64>;

/// What decides where reading starts without a committed offset.
pub(super) struct Start<'a> {
    pub(super) initial: InitialOffset,
    /// Topics that were read before: one that lost its offsets was deleted and made anew, and is read from its beginning.
    pub(super) started: &'a BTreeSet<String>,
    /// Decide without the owner of the topic's first partition, which may be a foreign client.
    pub(super) alone: bool,
}

/// Resolves the start of every assigned partition; the list holds those that must be committed first. Blocks for some
/// round trips.
///
/// At a group's first start only the owner of a topic's first partition decides where all of them start: none means
/// that it has not done so yet. Two members that both decided could overwrite each other's positions, and a later
/// `newest` in place of an earlier one would skip what came in between.
pub(super) fn start_positions(
    consumer: &KafkaConsumer,
    assigned: &TopicPartitionList,
    start: &Start<'_>,
) -> Result<Option<(Positions, TopicPartitionList)>, KafkaError> {
    let mut positions = Positions::new();
    let mut first = TopicPartitionList::new();
    let topics: BTreeSet<String> =
        assigned.elements().iter().map(|element| element.topic().to_owned()).collect();
    for topic in topics {
        let committed = committed_offsets(consumer, &topic, assigned)?;
        // Start positions are committed for the whole topic at once, so one committed partition means that the
        // group has started before, and a partition without an offset is one that came later.
        let started_before = committed.values().any(Option::is_some) || start.started.contains(&topic);
        let decides =
            committed.keys().next().is_some_and(|first| assigned.find_partition(&topic, *first).is_some());
        if !started_before && !decides && !start.alone {
            return Ok(None);
        }
        for (partition, offset) in &committed {
            let is_mine = assigned.find_partition(&topic, *partition).is_some();
            let position = match offset {
                Some(offset) => *offset,
                None if !started_before || is_mine => {
                    let (oldest, newest) = consumer.fetch_watermarks(&topic, *partition, PATIENCE)?;
                    let at_end = start.initial == InitialOffset::Newest && !started_before;
                    let offset = if at_end { newest } else { oldest };
                    first.add_partition_offset(&topic, *partition, Offset::Offset(offset))?;
                    offset
                }
                None => continue,
            };
            if is_mine {
                positions.insert((topic.clone(), *partition), position);
            }
        }
    }
    Ok(Some((positions, first)))
}

/// The group's committed offsets of all partitions of a topic.
fn committed_offsets(
    consumer: &KafkaConsumer,
    topic: &str,
    assigned: &TopicPartitionList,
) -> Result<BTreeMap<i32, Option<i64>>, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let known = metadata.topics().iter().filter(|found| found.name() == topic);
    let mut partitions: BTreeSet<i32> = known
        .flat_map(rdkafka::metadata::MetadataTopic::partitions)
        .map(rdkafka::metadata::MetadataPartition::id)
        .collect();
    partitions.extend(
        assigned
            .elements_for_topic(topic)
            .iter()
            .map(rdkafka::topic_partition_list::TopicPartitionListElem::partition),
    );
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, partition);
    }
    let committed = consumer.committed_offsets(list, PATIENCE)?;
    let mut offsets = BTreeMap::new();
    for element in committed.elements() {
        element.error()?;
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        offsets.insert(element.partition(), offset);
    }
    Ok(offsets)
}
