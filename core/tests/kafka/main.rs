//! Kafka components against real brokers.
#![allow(missing_docs, unreachable_pub)]
// Numbers of partitions, offsets and records are small here, and names of a kind look alike.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::similar_names
)]

mod avro;
mod avro_input;
mod counting;
mod crashes;
mod deadlines;
mod documents;
mod faults;
mod fixture;
mod groups;
mod hostile;
mod independent;
mod outcomes;
mod proxy;
mod receiving;
mod registry;
#[path = "../spec/runner/mod.rs"]
mod runner;
mod security;
mod sending;
mod server;
mod spec;
mod starting;
mod stranded;
mod tokens;
mod troubleshooting;
