//! Kafka components against real brokers.
#![allow(missing_docs)]

mod fixture;
mod sending;
mod server;
