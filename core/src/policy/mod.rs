//! When to try again, and when to stop trying.
//!
//! What the `Resiliency` documents say is read in `manifest/resiliency`, kept and looked up in `policies.rs`. A
//! policy is at work in `outbound.rs`, around every call of a component that has one; its breaker is in
//! `breaker.rs`, and what trips it in `trip.rs`.

mod backoff;
mod breaker;
mod outbound;
mod policies;
mod retry;
#[cfg(test)]
mod tests;
mod trip;

pub use backoff::Backoff;
pub(crate) use breaker::{Breaker, BreakerSettings};
#[allow(unused_imports, reason = "for dispatch, which takes them up next, and for tests")]
pub(crate) use breaker::{BreakerState, Permit, Refusal};
pub(crate) use outbound::Outbound;
pub(crate) use policies::{Inbound, Name, Names, Policies, Target};
pub(crate) use retry::{Codes, Matching, Retry};
pub(crate) use trip::Trip;
