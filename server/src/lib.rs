//! Dapr's binding API over HTTP and gRPC, for programs in every language: what `bindwright serve` runs.
//!
//! Built on the public interface of the crate `bindwright` and nothing else. The rooms are told in
//! `docs/architecture.md`, the rules of the API in `docs/serve.md`; tests are in `server/tests/`.

mod access;
mod app;
mod configuration;
mod envelope;
mod grpc;
mod http;
mod invoke;
mod limits;
mod listen;
mod metrics;
mod options;
mod replies;
mod serve;
mod sidecar;
mod trace;

pub use access::TARGET as ACCESS_LOG;
pub use configuration::Configuration;
pub use options::{AppProtocol, Elsewhere, MaxBodySize, Options};
pub use serve::{Ender, Server, open_client};
pub use sidecar::Ending;
