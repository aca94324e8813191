//! The API as clients and applications see it: over real sockets, against real components.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod app;
mod configuration;
mod fixture;
mod grpc;
mod grpc_app;
mod hostile;
mod http;
mod lifetime;
mod policies;
mod replies;
mod test_app;
mod unix;
