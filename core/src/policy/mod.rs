//! When to try again, and when to stop trying.

mod backoff;

pub use backoff::Backoff;
