//! When to try again, and when to stop trying.

mod backoff;
mod ledger;

pub use backoff::Backoff;
pub use ledger::Ledger;
