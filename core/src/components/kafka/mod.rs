//! Apache Kafka (`bindings.kafka/v1`), both ways.
//!
//! * Sending (`create`): a reply means that the brokers confirmed the record as `producerRequiredAcks` asks; its
//!   metadata has `topic`, `partition` and `offset`. Request metadata: `partitionKey` (or `__key`), `partitionNumber`;
//!   every entry becomes a header. No body is a tombstone.
//! * Receiving: at least once. Only the contiguous prefix of settled records is committed. Event metadata: `__key`,
//!   `__topic`, `__partition`, `__offset`, `__timestamp`, and the record's headers.
//!
//! How a record leaves: `output` → `partition` (gathers) → `connection` (librdkafka) → `pending` (the caller waits).
//! How one arrives: `consumer` (callbacks) → `reader` (one thread) → dispatch → `progress` → `commits`; `handover` when
//! partitions come and go. `avro` encodes and decodes values where that is asked
//! for. `lookout` and `stall` notice that nothing comes, `life` replaces a consumer that cannot go on.

mod asking;
mod assigned;
mod assignment;
mod avro;
mod cluster;
mod commits;
mod connection;
mod consumer;
pub(crate) mod dev_broker;
mod doctor;
mod explain;
mod failure;
mod ffi;
mod guard;
mod handover;
mod input;
mod inspector;
mod journal;
mod life;
mod lookout;
mod missing;
mod options;
mod output;
mod partition;
mod partitioner;
mod pending;
pub(crate) mod probe;
mod progress;
mod reader;
mod record;
mod refusal;
mod sender;
mod serving;
mod settings;
mod stall;
#[cfg(test)]
mod tests;
mod tokens;
mod topology;

use crate::registry::ComponentType;

pub(crate) fn component_type() -> ComponentType {
    ComponentType::new("bindings.kafka")
        .settings::<settings::Raw>()
        .check(|component| settings::KafkaSettings::decode(component).map(|(_, warnings)| warnings))
        .output(output::KafkaOutput::open)
        .input(input::KafkaInput::open)
        .operations(output::OPERATIONS)
        .explain(explain::nature)
        .inspect(&inspector::KafkaInspector)
}
