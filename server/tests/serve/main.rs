//! The API as clients and applications see it: over real sockets, against real components.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod app;
mod configuration;
mod fixture;
mod grpc;
mod grpc_app;
mod hostile;
mod hostile_grpc;
// What a process holds is read from /proc.
#[cfg(target_os = "linux")]
mod hostile_memory;
mod http;
mod kept;
mod lifetime;
mod policies;
mod properties;
mod replies;
mod strained;
mod test_app;
mod test_grpc_app;
mod unix;
mod unread;
mod vectors;
