//! Dapr's wire formats, as far as bindings need them. The client speaks them to a sidecar, `bindwright serve` speaks
//! them to everybody else. Both are servers of HTTP, too: of calls, and of events.

pub mod headers;
pub mod json;
pub mod unread;

/// The messages and services of Dapr's runtime and of applications, made from `wire/proto/` by `cargo xtask gen`.
pub mod messages {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::allow_attributes)]

    include!("messages.rs");
}
