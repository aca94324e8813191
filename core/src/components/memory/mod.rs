//! Queues inside this process (`bindings.memory/v1`), both ways: for development, tests and examples without any
//! server, and the place to provoke failures on demand. Nothing survives the process.
//!
//! * Queues of one name are the same queue for all components and clients of the process. A queue vanishes when no
//!   component of it is open and it holds no message; with messages it stays, so that whoever opens it later finds
//!   them.
//! * Sending: `create` puts a message; its reply's metadata has `queue`, `partition` and `position`. The partition
//!   follows from the request metadata `partitionKey`, else they take turns. `size` answers how many messages are
//!   not settled yet, `purge` removes them all and answers how many they were, both as JSON.
//! * Receiving: at least once, in order within a partition. One subscription has all partitions; the next one
//!   waits until it ended, and continues at the first message that is not settled. Event metadata: `key`, and all
//!   that the request had.
//! * Settings: see [`settings`]. Users read `docs/memory.md`. Tests are in `tests/` and in `tests/spec/memory.yaml` of the repository.
//!
//! How a message travels: `output` → `core/src/queue/` (kept until it is settled; one task per subscription) →
//! dispatch → the queue again, which removes it.

mod failures;
mod input;
mod inspector;
mod output;
mod registered;
mod settings;
#[cfg(test)]
mod tests;

use crate::inspect::{Guarantee, Nature};
use crate::registry::ComponentType;

pub(crate) fn component_type() -> ComponentType {
    ComponentType::new("bindings.memory")
        .settings::<settings::Raw>()
        .check(|component| settings::MemorySettings::decode(component).map(|(_, warnings)| warnings))
        .output(output::MemoryOutput::open)
        .input(input::MemoryInput::open)
        .operations(output::OPERATIONS)
        .explain(|_| Ok(nature()))
        .inspect(&inspector::MemoryInspector)
}

/// What one can rely on, for `bindwright explain`.
fn nature() -> Nature {
    let reply =
        "a reply means that the message is in the queue, in the memory of this process: it is gone with it";
    Nature { guarantees: vec![Guarantee { topic: "reply", text: reply.to_owned() }], options: Vec::new() }
}
