//! Clients that reach their bindings through a sidecar: `bindwright serve`, and one that answers as Dapr's does.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod calls;
#[path = "../../../core/tests/kafka/security/certificates.rs"]
#[allow(dead_code)] // made for tests of TLS to brokers
mod certificates;
mod components;
mod connections;
mod daprd;
mod events;
#[path = "../serve/fixture.rs"]
#[allow(dead_code)] // the server of tests/serve, which ask it more
mod fixture;
mod gate;
#[path = "../../../core/tests/kafka/server.rs"]
#[allow(dead_code, clippy::cast_possible_truncation)] // as core's tests have it, which harm brokers
mod kafka;
mod quirks;
#[path = "../../../core/tests/spec/runner/mod.rs"]
#[allow(dead_code, unused_imports)] // the way inside a process is that of core's tests
mod runner;
mod spec;
mod way;
