//! The native part of the npm package `bindwright`: what TypeScript in `ts/` wraps.
//!
//! It translates and decides nothing. Values cross as plain objects and flat lists of texts, errors as their parts; how
//! calls come home is in `calls.rs`. Tests: `bindings-node/test/`.
#![allow(clippy::needless_pass_by_value, reason = "what comes from JavaScript is owned")]
#![allow(unreachable_pub, reason = "what napi exports is public")]
#![allow(clippy::missing_errors_doc, reason = "core's documentation lists the codes")]

mod answers;
mod batch;
#[cfg(feature = "bench")]
mod bench;
mod calls;
mod client;
mod convert;
mod errors;
mod invoke;
mod logs;
mod outcomes;
mod packed;
mod payload;
mod sandbox;
mod tools;
