//! A client's way to a server of a test.

use std::time::Duration;

use bindwright::{Client, ClientOptions, SidecarOptions, TransportKind};

use super::fixture::Running;

pub const WAYS: [TransportKind; 2] = [TransportKind::SidecarGrpc, TransportKind::SidecarHttp];

/// The options of a client that speaks to this server.
pub fn options(kind: TransportKind, server: &Running) -> ClientOptions {
    let endpoint = match kind {
        TransportKind::SidecarHttp => server.base.clone(),
        _ => server.grpc.clone(),
    };
    to(kind, endpoint)
}

/// The options of a client that speaks to whatever listens there.
pub fn to(kind: TransportKind, endpoint: impl Into<String>) -> ClientOptions {
    ClientOptions {
        transport: Some(kind),
        timeout: Some(Duration::from_secs(20)),
        sidecar: SidecarOptions { endpoint: Some(endpoint.into()), ..SidecarOptions::default() },
        ..ClientOptions::default()
    }
}

pub fn open(kind: TransportKind, server: &Running) -> Client {
    Client::open(options(kind, server)).unwrap()
}

/// The flag of a server whose application speaks as this way does.
pub fn protocol(kind: TransportKind) -> &'static str {
    if kind == TransportKind::SidecarHttp { "http" } else { "grpc" }
}
