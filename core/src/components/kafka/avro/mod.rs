//! Values in Avro, with a schema registry in Confluent's style: a zero byte, the number of the schema as four bytes, and
//! the body.
//!
//! * Sending: JSON data is encoded with the latest schema of the subject `<topic>-value` (`outgoing`, `latest`). The schema
//!   is fetched before the record is made, once for all who wait. What does not fit is `INVALID_REQUEST` with the place.
//! * Receiving: the body becomes JSON (`incoming`, `by_id`). While a schema is not here its partition waits, and the others
//!   go on. What cannot be read becomes a dead letter or holds its lane, as dispatch does with what a handler gives up.
//!
//! `registry` is the client, `schema` what it gets, `encode`, `branch` and `decode` go between JSON and bodies, `decimal`
//! between digits and bytes, `misfit` says what does not go together. Tests: `tests/` here, and `core/tests/kafka/avro.rs`
//! with a broker and a registry.

mod branch;
mod by_id;
mod decimal;
mod decode;
mod encode;
mod incoming;
mod latest;
mod misfit;
mod outgoing;
mod registry;
mod schema;
#[cfg(test)]
mod tests;
mod wire;

pub(super) use incoming::{Incoming, TURN};
pub(super) use latest::Writer;
pub(super) use outgoing::Outgoing;
