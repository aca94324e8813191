//! The tasks of connections to a sidecar.
//!
//! They run on the runtime. What a lone call wakes while it is polled it does itself, on the caller's thread: its
//! request is on the wire without waiting until another thread has woken up. Of many calls at once each would write
//! for itself; those are left to the runtime, which writes for all of them together.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::error::Result;
use crate::runtime;

/// How often a call looks for what its tasks have woken in turn; the rest is the runtime's.
const TURNS: usize = 4;

thread_local! {
    /// What was woken while this thread polls a lone call.
    static WOKEN: RefCell<Option<Vec<Arc<Task>>>> = const { RefCell::new(None) };
}

/// Begins the tasks of connections wherever it is called: a call that is given up may be dropped on a thread of the
/// program's own.
#[derive(Clone)]
pub(super) struct Tasks(Handle);

impl Tasks {
    pub(super) fn new() -> Result<Self> {
        Ok(Self(runtime::handle()?))
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let task = Arc::new(Task {
            work: Mutex::default(),
            runtime: self.0.clone(),
            is_spawned: AtomicBool::new(false),
            runner: AtomicWaker::new(),
        });
        let future = Box::pin(async move { drop(future.await) });
        *task.work.lock() = Some(Work { future, _alive: task.clone() });
        task.wake();
    }
}

struct Work {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// It lives until it is done, as a task of the runtime does; whoever wakes it may forget it.
    _alive: Arc<Task>,
}

struct Task {
    /// `None` once it is done.
    work: Mutex<Option<Work>>,
    runtime: Handle,
    /// A call may end what it began before the runtime ever hears of it.
    is_spawned: AtomicBool,
    runner: AtomicWaker,
}

impl Task {
    fn poll(self: &Arc<Self>, work: &mut Option<Work>) -> Poll<()> {
        let waker = Waker::from(self.clone());
        // Taken out, so that a panic drops it: a pool would keep a connection whose task never ends.
        let Some(mut taken) = work.take() else { return Poll::Ready(()) };
        let polled = taken.future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_pending() {
            *work = Some(taken);
        }
        polled
    }

    /// Has the runtime poll it.
    fn run(self: Arc<Self>) {
        if self.is_spawned.swap(true, Ordering::AcqRel) {
            self.runner.wake();
            return;
        }
        let runtime = self.runtime.clone();
        runtime.spawn(poll_fn(move |context| {
            self.runner.register(context.waker());
            self.poll(&mut self.work.lock())
        }));
    }

    /// Polls it here, unless the runtime is at it.
    fn help(self: Arc<Self>) {
        let polled = self.work.try_lock().map(|mut work| {
            // It ends the task, as on the runtime, and not the call, which may have its answer.
            catch_unwind(AssertUnwindSafe(|| self.poll(&mut work))).unwrap_or(Poll::Ready(()))
        });
        match polled {
            Some(Poll::Pending) => {}
            // The runtime lets go of what it has.
            Some(Poll::Ready(())) if !self.is_spawned.load(Ordering::Acquire) => {}
            Some(Poll::Ready(())) | None => self.run(),
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let mut task = Some(self);
        // A thread that is ending polls no call.
        let _ = WOKEN.try_with(|woken| {
            if let Some(woken) = woken.borrow_mut().as_mut() {
                woken.extend(task.take());
            }
        });
        if let Some(task) = task {
            task.run();
        }
    }
}

/// The calls that are under way on the connections of one client.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// Runs a call, which helps its connection while it is the only one.
    pub(super) async fn run<T>(&self, call: impl Future<Output = T>) -> T {
        let _under_way = UnderWay::begin(&self.0);
        let mut call = pin!(call);
        poll_fn(|context| {
            if self.0.load(Ordering::Relaxed) > 1 {
                return call.as_mut().poll(context);
            }
            let _helping = Helping::begin();
            let polled = call.as_mut().poll(context);
            do_what_woke();
            polled
        })
        .await
    }
}

struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// While it is there, what this thread wakes is noted. Ends also by a panic.
struct Helping {
    /// What a call noted inside which this one is polled.
    outer: Option<Vec<Arc<Task>>>,
}

impl Helping {
    fn begin() -> Self {
        Self { outer: WOKEN.replace(Some(Vec::new())) }
    }
}

impl Drop for Helping {
    fn drop(&mut self) {
        for task in WOKEN.replace(self.outer.take()).unwrap_or_default() {
            task.run();
        }
    }
}

fn do_what_woke() {
    for _ in 0..TURNS {
        let woken = WOKEN.replace(Some(Vec::new())).unwrap_or_default();
        if woken.is_empty() {
            break;
        }
        woken.into_iter().for_each(Task::help);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::thread::{self, ThreadId};
    use std::time::{Duration, Instant};

    use tokio::sync::{mpsc, oneshot};

    use super::*;
    use crate::event_loop::caught;

    type Question = oneshot::Sender<ThreadId>;

    /// A task as a connection's: it answers each question with the thread it runs on.
    fn connection() -> mpsc::UnboundedSender<Question> {
        let (ask, mut asked) = mpsc::unbounded_channel::<Question>();
        Tasks::new().expect("a runtime").execute(async move {
            while let Some(question) = asked.recv().await {
                let _ = question.send(thread::current().id());
            }
        });
        ask
    }

    async fn asked(connection: &mpsc::UnboundedSender<Question>) -> ThreadId {
        let (tell, told) = oneshot::channel();
        connection.send(tell).expect("it listens");
        told.await.expect("an answer")
    }

    #[tokio::test]
    async fn a_lone_call_does_the_work_of_its_connection() {
        let (calls, connection) = (Calls::default(), connection());
        let deadline = Instant::now() + Duration::from_secs(5);
        // Once the task waits for questions; before that it is with the runtime.
        while calls.run(asked(&connection)).await != thread::current().id() {
            assert!(Instant::now() < deadline, "the runtime did it all");
        }
        // And leaves nothing behind: outside of a call the runtime works.
        assert_ne!(asked(&connection).await, thread::current().id());
        assert_eq!(calls.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn of_several_calls_none_does() {
        let (calls, connection) = (Calls::default(), connection());
        let other = UnderWay::begin(&calls.0);
        assert_ne!(calls.run(asked(&connection)).await, thread::current().id());
        drop(other);
    }

    #[tokio::test]
    async fn a_panic_of_a_call_leaves_its_connection_to_the_runtime() {
        let (calls, connection) = (Calls::default(), connection());
        let (tell, told) = oneshot::channel();
        let call = calls.run(async {
            connection.send(tell).expect("it listens");
            panic!("made by the test");
        });
        let ended: Result<()> = caught(async {
            call.await;
            Ok(())
        })
        .await;
        ended.expect_err("it panicked");
        assert_ne!(told.await.expect("an answer"), thread::current().id());
    }

    /// What a task has; whether it is gone.
    fn possession() -> (Arc<()>, Weak<()>) {
        let possession = Arc::new(());
        let seen = Arc::downgrade(&possession);
        (possession, seen)
    }

    async fn until_gone(seen: &Weak<()>) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while seen.strong_count() > 0 {
            assert!(Instant::now() < deadline, "still there");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_task_that_ends_in_a_call_is_let_go() {
        let (possession, seen) = possession();
        let (end, ended) = oneshot::channel::<()>();
        Tasks::new().expect("a runtime").execute(async move {
            let _ = ended.await;
            drop(possession);
        });
        Calls::default().run(async { end.send(()).expect("it waits") }).await;
        until_gone(&seen).await;
    }

    #[tokio::test]
    async fn a_task_that_a_call_begins_and_ends_is_let_go() {
        let (possession, seen) = possession();
        let tasks = Tasks::new().expect("a runtime");
        Calls::default().run(async { tasks.execute(async move { drop(possession) }) }).await;
        assert_eq!(seen.strong_count(), 0);
    }

    #[tokio::test]
    async fn a_task_that_panics_is_let_go_and_ends_no_call() {
        let panics = |possession: Arc<()>| async move {
            assert_eq!(Arc::strong_count(&possession), 0, "made by the test");
        };
        let (tasks, calls) = (Tasks::new().expect("a runtime"), Calls::default());
        let (possession, seen) = self::possession();
        let answer = calls.run(async {
            tasks.execute(panics(possession));
            17
        });
        assert_eq!((answer.await, seen.strong_count()), (17, 0));
        let (possession, seen) = self::possession();
        tasks.execute(panics(possession));
        until_gone(&seen).await;
    }
}
