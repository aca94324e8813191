//! Who brings a producer's delivery reports home. One at a time has the part:
//!
//! * a blocking caller, which would only wait otherwise ([`Driver`]);
//! * a lone awaited call ([`Attending`]): librdkafka rings its waker, and it serves where it is polled;
//! * the server thread, as soon as there is more than one call.
//!
//! Each thread that a report passes on its way costs a wake-up, which is more than all the rest of it. A crowd has one
//! wake-up for many reports, and gains from a thread that hands over its next batch while it is busy with the last.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::{Condvar, Mutex};

use super::guard;
use super::sender::Sender;
use crate::binding::Driver;
use crate::error::{Error, ErrorCode, Result};

/// How often a producer with nothing to do is looked after: errors and statistics arrive unasked. A call that attends
/// and is not polled for so long loses the part.
const IDLE: Duration = Duration::from_millis(250);

/// No call attends.
const NOBODY: u64 = 0;

/// Who serves, and how they are woken.
#[derive(Default)]
pub(super) struct Wake {
    /// Somebody serves.
    taken: AtomicBool,
    /// The call that does, by a number of its own.
    attendant: AtomicU64,
    attendants: AtomicU64,
    /// Of the attendant, once it was polled.
    waker: Mutex<Option<Waker>>,
    something: Mutex<bool>,
    condition: Condvar,
    server: ArcSwapOption<Thread>,
}

impl Wake {
    /// There is something to serve. Called by librdkafka, which has its queue locked meanwhile.
    pub(super) fn notify(&self) {
        if self.attendant.load(Ordering::SeqCst) != NOBODY {
            let waker = self.waker.lock().clone();
            if let Some(waker) = waker {
                waker.wake();
            }
            return;
        }
        *self.something.lock() = true;
        self.condition.notify_one();
        self.somebody_serves();
    }

    /// Sees to it that somebody serves.
    pub(super) fn somebody_serves(&self) {
        // SeqCst here, where the part is given back and in the count of batches: one side has to see the other.
        if !self.taken.load(Ordering::SeqCst) {
            self.unpark_server();
        }
    }

    pub(super) fn unpark_server(&self) {
        if let Some(thread) = &*self.server.load() {
            thread.unpark();
        }
    }

    fn wait(&self, at_most: Duration) {
        let mut something = self.something.lock();
        if !*something {
            self.condition.wait_for(&mut something, at_most);
        }
        *something = false;
    }

    /// Takes the part from the call that attends, or from this one only.
    fn dismiss(&self, attendant: u64) -> bool {
        let dismissed = attendant != NOBODY
            && self.attendant.compare_exchange(attendant, NOBODY, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if dismissed {
            let waker = self.waker.lock().take();
            drop(waker);
        }
        dismissed
    }
}

/// A call that serves wherever it is polled. Dropped, it gives the part back.
pub(super) struct Attending {
    sender: Arc<Sender>,
    number: u64,
}

impl Attending {
    /// Serves what is there, and has this waker rung for what comes. Somebody else may have got the part meanwhile.
    pub(super) fn serve(&self, waker: &Waker) {
        let wake = &self.sender.wake;
        if wake.attendant.load(Ordering::SeqCst) != self.number {
            return;
        }
        let known = wake.waker.lock().as_ref().is_some_and(|known| known.will_wake(waker));
        if !known {
            // Out of the lock before it is dropped.
            let old = wake.waker.lock().replace(waker.clone());
            drop(old);
        }
        // Now that the waker is known: what came before that rang nobody.
        self.sender.serve();
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        if self.sender.wake.dismiss(self.number) {
            self.sender.end();
        }
    }
}

impl Sender {
    /// Gives the part to a call that is alone.
    pub(super) fn attend(self: &Arc<Self>) -> Option<Attending> {
        if self.is_busy() || !self.begin() {
            return None;
        }
        let number = self.wake.attendants.fetch_add(1, Ordering::Relaxed) + 1;
        self.wake.attendant.store(number, Ordering::SeqCst);
        Some(Attending { sender: self.clone(), number })
    }

    /// Takes the part from a call that is no longer alone: it is polled when its executor has time for it, and nobody
    /// else must have to wait for that.
    pub(super) fn relieve(&self) {
        if self.wake.dismiss(self.wake.attendant.load(Ordering::SeqCst)) {
            self.end();
        }
    }
}

impl Driver for Sender {
    fn begin(&self) -> bool {
        self.wake.taken.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    fn drive(&self, at_most: Duration) {
        if !self.serve() {
            self.wake.wait(at_most);
            self.serve();
        }
    }

    fn end(&self) {
        self.wake.taken.store(false, Ordering::SeqCst);
        if self.is_busy() {
            self.wake.unpark_server();
        }
    }
}

/// Starts the server thread.
pub(super) fn start(sender: &Arc<Sender>) -> Result<JoinHandle<()>> {
    let (weak, wake) = (Arc::downgrade(sender), sender.wake.clone());
    let server = std::thread::Builder::new()
        .name("bindwright-send".to_owned())
        // Nothing in it should panic; if something does, others still need it.
        .spawn(
            move || {
                while guard::caught("the sending thread", || serve_while_needed(&weak, &wake)).is_err() {}
            },
        )
        .map_err(|error| Error::new(ErrorCode::Internal, format!("no thread to send from: {error}")))?;
    sender.wake.server.store(Some(Arc::new(server.thread().clone())));
    Ok(server)
}

/// The server thread: brings reports home whenever nobody else does.
fn serve_while_needed(sender: &Weak<Sender>, wake: &Wake) {
    loop {
        let Some(sender) = sender.upgrade() else { return };
        if sender.is_closing() {
            return;
        }
        if sender.has_unserved() {
            // Perhaps they just came; but perhaps whoever attends is not polled.
            sender.relieve();
        }
        if sender.begin() {
            let serving = Serving(wake);
            sender.serve();
            while sender.is_busy() && !sender.is_closing() {
                sender.drive(IDLE);
            }
            drop(serving);
        }
        let again = sender.is_busy() && !wake.taken.load(Ordering::SeqCst);
        drop(sender);
        if !again {
            std::thread::park_timeout(IDLE);
        }
    }
}

/// The server thread's turn, which ends also by a panic.
struct Serving<'a>(&'a Wake);

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};
    use std::time::{Duration, Instant};

    use super::NOBODY;
    use crate::binding::{Call, OutputBinding as _, Reply, Request};
    use crate::components::kafka::dev_broker::DevBroker;
    use crate::components::kafka::output::KafkaOutput;
    use crate::components::kafka::tests::{output, send, until_ready};
    use crate::error::Result;
    use crate::runtime;

    #[derive(Default)]
    struct Rung(AtomicUsize);

    impl Wake for Rung {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn ready() -> (DevBroker, KafkaOutput) {
        let broker = DevBroker::start(0).expect("a broker");
        let output = output(&broker.bootstrap());
        until_ready(&output);
        send(&output).expect("sent");
        until("nobody serves", || !output.sender().wake.taken.load(Ordering::SeqCst));
        (broker, output)
    }

    fn call() -> Call {
        Call { operation: "create".into(), deadline: Instant::now() + Duration::from_secs(20) }
    }

    fn until(what: &str, mut met: impl FnMut() -> bool) {
        let patience = Instant::now() + Duration::from_secs(10);
        while !met() {
            assert!(Instant::now() < patience, "not {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn is_attended(output: &KafkaOutput) -> bool {
        output.sender().wake.attendant.load(Ordering::SeqCst) != NOBODY
    }

    type Sent<'a> = Pin<Box<dyn Future<Output = Result<Reply>> + 'a>>;

    /// A call that attends, polled once.
    fn attending<'a>(output: &'a KafkaOutput, call: &'a Call, waker: &Waker) -> Sent<'a> {
        loop {
            let mut sent: Sent<'a> = Box::pin(output.invoke(call, Request::new("x")));
            assert!(sent.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            if is_attended(output) {
                return sent;
            }
            // The server thread was looking after things.
            until("settled", || !output.sender().is_busy());
        }
    }

    #[test]
    fn a_lone_call_is_rung_and_serves_where_it_is_polled() {
        let (_broker, output) = ready();
        let runtime = runtime::handle().expect("a runtime");
        let _runtime = runtime.enter();
        let rung = Arc::new(Rung::default());
        let waker = Waker::from(rung.clone());
        let call = call();
        let mut sent = attending(&output, &call, &waker);
        until("rung", || rung.0.load(Ordering::SeqCst) > 0);
        until("done", || sent.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        assert!(!is_attended(&output));
        assert!(!output.sender().is_busy());
    }

    #[test]
    fn who_is_not_alone_or_not_polled_is_relieved() {
        let (_broker, output) = ready();
        let runtime = runtime::handle().expect("a runtime");
        let _runtime = runtime.enter();
        let call = call();
        let mut first = attending(&output, &call, Waker::noop());
        // Nobody polls it, and its report comes home.
        until("settled", || !output.sender().is_busy());
        let settled = first.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(settled, Poll::Ready(Ok(_))));
        let _first = attending(&output, &call, Waker::noop());
        send(&output).expect("sent beside it");
        assert!(!is_attended(&output));
    }

    #[test]
    fn a_call_that_is_given_up_gives_the_part_back() {
        let (_broker, output) = ready();
        let runtime = runtime::handle().expect("a runtime");
        let _runtime = runtime.enter();
        let call = call();
        drop(attending(&output, &call, Waker::noop()));
        assert!(!is_attended(&output));
        until("settled", || !output.sender().is_busy());
        send(&output).expect("sent");
    }
}
