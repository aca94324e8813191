//! The one tokio runtime of the process, and the way a blocking caller waits for it.
//!
//! The runtime is made at first use, never at import. A process that forks keeps no thread of its parent, so a
//! child gets a runtime of its own; what the parent had opened answers `FORKED` there.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::binding::Driver;
use crate::error::{Error, ErrorCode, Result};
use crate::process;

/// How many threads the runtime has. In an application two: work is done by librdkafka's threads and by the callers,
/// the runtime only keeps time and passes results on.
static WORKERS: AtomicUsize = AtomicUsize::new(2);

/// How long a blocking caller sleeps at most before it looks whether it was interrupted (Ctrl-C).
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(50);

/// What "for ever" means to a clock: no moment is further away.
const FOREVER: Duration = Duration::from_hours(365 * 24);

static SHARED: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);

/// The runtime of this process.
///
/// # Errors
/// `INTERNAL` when the operating system refuses to start threads.
pub(crate) fn handle() -> Result<Handle> {
    let process = process::id();
    let mut shared = SHARED.lock();
    if let Some((owner, runtime)) = *shared
        && owner == process
    {
        return Ok(runtime.handle().clone());
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS.load(Ordering::Relaxed).max(1))
        .thread_name("bindwright")
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorCode::Internal, format!("the runtime does not start: {error}")))?;
    // Leaked on purpose: it lives as long as the process, and after a fork the parent's one must not be dropped
    // in the child, where its threads do not exist.
    let runtime: &'static Runtime = Box::leak(Box::new(runtime));
    *shared = Some((process, runtime));
    Ok(runtime.handle().clone())
}

/// Says how many threads the runtime gets, where there is none yet.
pub(crate) fn set_workers(count: usize) {
    WORKERS.store(count, Ordering::Relaxed);
}

/// The moment so long from now; centuries mean for ever instead of an overflow.
pub(crate) fn moment_in(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration.min(FOREVER)).unwrap_or(now)
}

/// Runs a future to its end on the calling thread.
///
/// While it waits the thread serves `driver`, so that a lone call needs no second thread to bring its result.
/// `interrupted` is asked now and then; when it says yes the future is dropped and `None` is returned.
pub(crate) fn block_on<F: Future>(
    handle: &Handle,
    future: F,
    driver: Option<&dyn Driver>,
    mut interrupted: impl FnMut() -> bool,
) -> Option<F::Output> {
    let _context = handle.enter();
    let driving = driver.and_then(Driving::begin);
    let driver = driving.as_ref().map(|driving| driving.0);
    let signal = Arc::new(Signal { woken: AtomicBool::new(false), thread: std::thread::current() });
    let waker = Waker::from(signal.clone());
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        while !signal.woken.swap(false, Ordering::Acquire) {
            match driver {
                Some(driver) => driver.drive(INTERRUPT_INTERVAL),
                None => std::thread::park_timeout(INTERRUPT_INTERVAL),
            }
            if !signal.woken.load(Ordering::Acquire) && interrupted() {
                return None;
            }
        }
    }
}

/// Holds a driver for the time of one blocking call.
struct Driving<'a>(&'a dyn Driver);

impl<'a> Driving<'a> {
    fn begin(driver: &'a dyn Driver) -> Option<Self> {
        driver.begin().then_some(Self(driver))
    }
}

impl Drop for Driving<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Signal {
    woken: AtomicBool,
    thread: Thread,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        if std::thread::current().id() != self.thread.id() {
            self.thread.unpark();
        }
    }
}
