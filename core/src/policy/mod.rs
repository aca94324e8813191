//! When to try again, and when to stop trying.
//!
//! What the `Resiliency` documents say is read in `manifest/resiliency`, kept and looked up in `policies.rs`. A
//! policy is at work in `outbound.rs`, around every call of a component that has one; its breaker is in
//! `breaker.rs`, and what trips it in `trip.rs`. What they did is counted in `counts.rs`.

mod backoff;
mod breaker;
mod counts;
mod ledger;
mod outbound;
mod policies;
mod retry;
#[cfg(test)]
mod tests;
mod trip;

pub use backoff::Backoff;
pub(crate) use breaker::{Breaker, BreakerSettings, BreakerState, Permit, Refusal};
pub(crate) use counts::Counts;
pub use counts::{BreakerUse, PolicyReport, PolicyUse};
pub use ledger::Ledger;
pub(crate) use outbound::Outbound;
pub(crate) use policies::{Inbound, Name, Names, Policies, Target, or_near};
pub(crate) use retry::{Codes, Matching, Retry};
pub(crate) use trip::Trip;
