//! Commands about running systems, as their users run them, against a real Kafka.
#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used)] // a test may stop at the first surprise, also outside its own function

mod broker;
mod calls;
mod dead_letters;
mod doctor;
