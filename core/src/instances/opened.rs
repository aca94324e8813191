//! An output that was opened: in use until the last one lets go of it, and closed then.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::binding::OutputBinding;
use crate::error::Result;
use crate::process;
use crate::runtime;

/// How long flushing may take when nobody waits for it.
const FLUSH: Duration = Duration::from_secs(5);

/// An output with its end: dropping it closes it in the background.
///
/// A component's instance shares it with every call under way. So an instance that is replaced only lets go of it,
/// and it is closed right after the last call.
pub(crate) struct Opened {
    binding: Arc<dyn OutputBinding>,
    pub(super) since: Instant,
    process: u32,
    closed: AtomicBool,
}

impl Opened {
    pub(super) fn new(binding: Arc<dyn OutputBinding>) -> Self {
        let process = process::id();
        Self { binding, since: Instant::now(), process, closed: AtomicBool::new(false) }
    }

    /// Closes it at once, for whoever wants to wait for that.
    pub(crate) async fn close(&self, deadline: Instant) -> Result<()> {
        if self.process != process::id() || self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.binding.close(deadline).await
    }
}

impl Deref for Opened {
    type Target = dyn OutputBinding;

    fn deref(&self) -> &Self::Target {
        &*self.binding
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let binding = self.binding.clone();
        if self.process != process::id() {
            // In a child of a fork its threads do not exist and its connections are the parent's: leak it.
            std::mem::forget(binding);
            return;
        }
        if !self.closed.swap(true, Ordering::AcqRel)
            && let Ok(runtime) = runtime::handle()
        {
            runtime.spawn(async move {
                if let Err(error) = binding.close(Instant::now() + FLUSH).await {
                    tracing::warn!(target: "bindwright", "{error}");
                }
            });
        }
    }
}
