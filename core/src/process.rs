//! Which process this is: what a parent opened, a forked child must leave alone.
//!
//! Asking the operating system takes a system call, and every call and every event asks. A package that hears of
//! forks says so with [`remember`]; where nobody does, the operating system is asked each time.

use std::sync::atomic::{AtomicU32, Ordering};

/// The process as it was when somebody last said so; 0 where nobody ever did.
static REMEMBERED: AtomicU32 = AtomicU32::new(0);

/// The id of this process.
pub fn id() -> u32 {
    match REMEMBERED.load(Ordering::Relaxed) {
        0 => std::process::id(),
        id => id,
    }
}

/// Says how many threads of this process do the work of this crate: 2 where nobody says. For programs that do nothing
/// else, such as servers; to be called before the first client is opened, later it changes nothing.
pub fn set_worker_threads(count: usize) {
    crate::runtime::set_workers(count);
}

/// Remembers which process this is, so that nobody has to ask the operating system again.
///
/// Only for whoever hears of every fork, as by `pthread_atfork`: to be called once, and in every forked child before
/// anything else of this crate runs there. It does nothing that would be forbidden at that moment.
pub fn remember() {
    REMEMBERED.store(std::process::id(), Ordering::Relaxed);
}
