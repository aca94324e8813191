//! Being told to stop: SIGINT (Ctrl-C) and SIGTERM.
//!
//! Handlers that are there already, such as Python's, are called too. Works on any thread: the kernel may run a
//! handler on whichever it likes, so a handler only sets a flag, and the waiting thread looks at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::Failure;

/// How long somebody who pressed Ctrl-C waits at most.
const LOOK: Duration = Duration::from_millis(50);

/// Notes signals from its making until it is dropped.
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    registered: Vec<SigId>,
}

impl Stop {
    /// From now on a signal is noted instead of ending the process.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let mut stop = Self { asked: Arc::default(), registered: Vec::new() };
        for signal in [SIGINT, SIGTERM] {
            let registered = signal_hook::flag::register(signal, stop.asked.clone())
                .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
            stop.registered.push(registered);
        }
        Ok(stop)
    }

    /// Whether a signal came.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Returns when a signal came, also when it came before this call.
    pub(crate) fn wait(&self) {
        while !self.is_asked() {
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
