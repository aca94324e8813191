//! The messages and services of Dapr's runtime and of applications, as far as bindings need them.
//!
//! Made from `server/proto/`; the clients in here serve tests, and programs that want to speak to a server from Rust.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::allow_attributes)]

include!("runtime.rs");
