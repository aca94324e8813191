//! For packages: core's futures as guests on the thread of another event loop, such as asyncio's or Node's.
//!
//! Core's futures can be polled by anybody, so a call needs no thread but the loop's own: it is polled where it was
//! made, and a request is on its way before the caller has anything to wait for. What completes elsewhere puts its
//! task on a list, and only the first of many rings the [`Bell`]; then the loop polls them all at once. One ring for
//! many results is what makes a crowd of calls cheap.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

use crate::error::{Error, ErrorCode, Result};

/// Has the loop call [`Tasks::poll_woken`] soon.
pub trait Bell: Send + Sync + 'static {
    /// Rings. Called on any thread, also the loop's own; must neither block nor panic.
    fn ring(&self);
}

/// The futures that wait on one loop. All methods are for the loop's own thread.
///
/// `F` is the futures' type, for example `dyn Future<Output = T>`.
pub struct Tasks<F: Future + ?Sized> {
    woken: Arc<Woken>,
    waiting: Mutex<HashMap<u64, Task<F>>>,
}

struct Task<F: ?Sized> {
    future: Pin<Box<F>>,
    waker: Waker,
}

/// What other threads see.
struct Woken {
    list: Mutex<List>,
    bell: Box<dyn Bell>,
}

#[derive(Default)]
struct List {
    tasks: Vec<u64>,
    /// The loop is at it: nobody need ring.
    is_being_polled: bool,
}

impl Woken {
    fn begin_turn(&self) -> Vec<u64> {
        let mut list = self.list.lock();
        list.is_being_polled = true;
        std::mem::take(&mut list.tasks)
    }

    fn end_turn(&self) {
        let mut list = self.list.lock();
        list.is_being_polled = false;
        if !list.tasks.is_empty() {
            drop(list);
            self.bell.ring();
        }
    }
}

/// A turn of the loop, which ends also by a panic of whom it tells.
struct Turn<'a>(&'a Woken);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.end_turn();
    }
}

struct TaskWaker {
    task: u64,
    woken: Arc<Woken>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut list = self.woken.list.lock();
        list.tasks.push(self.task);
        if list.tasks.len() == 1 && !list.is_being_polled {
            drop(list);
            self.woken.bell.ring();
        }
    }
}

impl<F: Future + ?Sized> Tasks<F> {
    /// None yet.
    pub fn new(bell: impl Bell) -> Self {
        let woken = Arc::new(Woken { list: Mutex::default(), bell: Box::new(bell) });
        Self { woken, waiting: Mutex::default() }
    }

    /// Polls a future for the first time: its output when that was enough, else it waits as `task`, a number that no
    /// other waiting task has.
    pub fn start(&self, task: u64, mut future: Pin<Box<F>>) -> Option<F::Output> {
        let waker = Waker::from(Arc::new(TaskWaker { task, woken: self.woken.clone() }));
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => {
                self.waiting.lock().insert(task, Task { future, waker });
                None
            }
        }
    }

    /// Polls what was woken since the last time, and hands over what is done. `done` may start and cancel tasks.
    pub fn poll_woken(&self, mut done: impl FnMut(u64, F::Output)) {
        let _turn = Turn(&self.woken);
        // Twice: what the first ones wake is done in the same turn. The rest is for the next, for others want theirs.
        for _ in 0..2 {
            for number in self.woken.begin_turn() {
                let task = self.waiting.lock().remove(&number);
                let Some(mut task) = task else { continue };
                match task.future.as_mut().poll(&mut Context::from_waker(&task.waker)) {
                    Poll::Ready(output) => done(number, output),
                    Poll::Pending => drop(self.waiting.lock().insert(number, task)),
                }
            }
        }
    }

    /// Drops a future, which cancels what it does.
    pub fn cancel(&self, task: u64) {
        // Out of the lock before it is dropped: dropping may wake others.
        let cancelled = self.waiting.lock().remove(&task);
        drop(cancelled);
    }

    /// Cancels all. Also for other threads, once the loop is gone.
    pub fn cancel_all(&self) {
        let cancelled = std::mem::take(&mut *self.waiting.lock());
        drop(cancelled);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.lock().len()
    }
}

impl<F: Future + ?Sized> std::fmt::Debug for Tasks<F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tasks").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

/// The same future, whose panic ends the call and nothing else.
///
/// # Errors
/// Those of the future; `INTERNAL` when it panicked.
pub async fn caught<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))).unwrap_or_else(|_| {
            Poll::Ready(Err(Error::new(ErrorCode::Internal, "a call panicked; standard error has more")))
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    type Number = dyn Future<Output = u32> + Send;

    struct Counting(Arc<AtomicUsize>);

    impl Bell for Counting {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn tasks() -> (Tasks<Number>, Arc<AtomicUsize>) {
        let rings = Arc::new(AtomicUsize::new(0));
        (Tasks::new(Counting(rings.clone())), rings)
    }

    fn number(answer: oneshot::Receiver<u32>) -> Pin<Box<Number>> {
        Box::pin(async { answer.await.unwrap_or(0) })
    }

    fn poll(tasks: &Tasks<Number>) -> Vec<(u64, u32)> {
        let mut done = Vec::new();
        tasks.poll_woken(|task, output| done.push((task, output)));
        done
    }

    #[test]
    fn what_is_done_at_once_never_waits() {
        let (tasks, rings) = tasks();
        assert_eq!(tasks.start(1, Box::pin(async { 7 })), Some(7));
        assert_eq!((tasks.waiting(), rings.load(Ordering::SeqCst)), (0, 0));
    }

    #[test]
    fn one_ring_stands_for_many_results() {
        let (tasks, rings) = tasks();
        let answers: Vec<_> = (0..3)
            .map(|task| {
                let (tell, answer) = oneshot::channel();
                assert_eq!(tasks.start(task, number(answer)), None);
                tell
            })
            .collect();
        for (value, tell) in (10..).zip(answers) {
            tell.send(value).expect("waited for");
        }
        assert_eq!(rings.load(Ordering::SeqCst), 1);
        assert_eq!(poll(&tasks), [(0, 10), (1, 11), (2, 12)]);
        assert_eq!((poll(&tasks), tasks.waiting()), (vec![], 0));
    }

    #[test]
    fn the_next_result_rings_again() {
        let (tasks, rings) = tasks();
        for task in 0..2 {
            let (tell, answer) = oneshot::channel();
            tasks.start(task, number(answer));
            tell.send(1).expect("waited for");
            assert_eq!(poll(&tasks).len(), 1);
        }
        assert_eq!(rings.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn what_a_task_wakes_is_done_in_the_same_turn() {
        let (tasks, rings) = tasks();
        let (tell_second, second) = oneshot::channel();
        let (tell_first, first) = oneshot::channel();
        assert_eq!(tasks.start(2, number(second)), None);
        let first = async move {
            let value = first.await.unwrap_or(0);
            tell_second.send(value + 1).expect("waited for");
            value
        };
        assert_eq!(tasks.start(1, Box::pin(first)), None);
        tell_first.send(5).expect("waited for");
        assert_eq!(poll(&tasks), [(1, 5), (2, 6)]);
        assert_eq!(rings.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_comes_too_late_for_a_turn_rings_for_the_next() {
        let (tasks, rings) = tasks();
        let mut answers = Vec::new();
        for task in 0..3 {
            let (tell, answer) = oneshot::channel();
            assert_eq!(tasks.start(task, number(answer)), None);
            answers.push(Some(tell));
        }
        let mut tell = |task: u64| {
            if let Some(tell) =
                answers.get_mut(usize::try_from(task).unwrap_or(usize::MAX)).and_then(Option::take)
            {
                tell.send(1).expect("waited for");
            }
        };
        tell(0);
        // Each one that is done wakes the next.
        let mut done = Vec::new();
        tasks.poll_woken(|task, _| {
            done.push(task);
            tell(task + 1);
        });
        assert_eq!((done, rings.load(Ordering::SeqCst)), (vec![0, 1], 2));
        assert_eq!(poll(&tasks), [(2, 1)]);
    }

    #[test]
    fn a_panic_of_whom_it_tells_ends_the_turn() {
        let (tasks, rings) = tasks();
        for task in 0..2 {
            let (tell, answer) = oneshot::channel();
            assert_eq!(tasks.start(task, number(answer)), None);
            tell.send(1).expect("waited for");
            let told = catch_unwind(AssertUnwindSafe(|| tasks.poll_woken(|_, _| panic!("made by the test"))));
            assert!(told.is_err());
        }
        assert_eq!(rings.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_cancelled_future_is_dropped() {
        let (tasks, _rings) = tasks();
        let (tell, answer) = oneshot::channel();
        tasks.start(1, number(answer));
        tasks.cancel(1);
        assert!(tell.is_closed());
        assert_eq!((poll(&tasks), tasks.waiting()), (vec![], 0));
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let waits: Tasks<dyn Future<Output = Result<()>>> = Tasks::new(Counting(Arc::default()));
        let panicked = waits.start(1, Box::pin(caught(async { panic!("made by the test") })));
        assert_eq!(panicked.expect("done").expect_err("it failed").code(), ErrorCode::Internal);
    }
}
