//! Promises for core's futures.
//!
//! Core's futures can be polled by anybody, so they are polled here, on the JavaScript thread, and Node needs no
//! runtime of its own. The first poll happens inside the call: a request is on its way before the caller gets its
//! promise. Later a waker, on whichever thread, puts its task on a list; only the first of many rings the bell.
//! Then one callback polls them all and settles their promises.
//!
//! A task keeps the process alive until its promise is settled, as an open request of `node:http` does; a client
//! without one does not.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bindwright::{Error, ErrorCode};
use napi::bindgen_prelude::{PromiseRaw, ToNapiValue};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status, check_status, sys};
use parking_lot::Mutex;

use crate::error::js_error;

type Bell = ThreadsafeFunction<(), (), (), Status, false, true>;

/// What other threads see: who wants to be polled, and the bell.
struct Woken {
    tasks: Mutex<Vec<u64>>,
    bell: Bell,
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
        let mut tasks = self.woken.tasks.lock();
        tasks.push(self.task);
        if tasks.len() == 1 {
            drop(tasks);
            // Fails only when the environment is going away, and its tasks with it.
            self.woken.bell.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }
}

/// Settles its promise before it is ready.
type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Tasks {
    env: Env,
    woken: Arc<Woken>,
    waiting: RefCell<HashMap<u64, (Task, Waker)>>,
    next: Cell<u64>,
}

thread_local! {
    /// A worker thread of Node is an environment of its own, with tasks of its own.
    static TASKS: RefCell<Option<Rc<Tasks>>> = const { RefCell::new(None) };
}

impl Tasks {
    fn of(env: Env) -> napi::Result<Rc<Self>> {
        if let Some(tasks) = TASKS.with_borrow(Option::clone) {
            return Ok(tasks);
        }
        let answer = env.create_function_from_closure("bindwright", |_| {
            if let Some(tasks) = TASKS.with_borrow(Option::clone) {
                tasks.poll_woken();
            }
            Ok(())
        })?;
        let bell =
            answer.build_threadsafe_function::<()>().callee_handled::<false>().weak::<true>().build()?;
        let tasks = Rc::new(Self {
            env,
            woken: Arc::new(Woken { tasks: Mutex::default(), bell }),
            waiting: RefCell::default(),
            next: Cell::new(0),
        });
        env.add_env_cleanup_hook((), |()| drop(TASKS.take()))?;
        TASKS.set(Some(tasks.clone()));
        Ok(tasks)
    }

    fn start(&self, mut task: Task) {
        let id = self.next.replace(self.next.get() + 1);
        let waker = Waker::from(Arc::new(TaskWaker { task: id, woken: self.woken.clone() }));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.waiting.borrow_mut().insert(id, (task, waker));
            self.keep_process(self.waiting.borrow().len() == 1);
        }
    }

    fn poll_woken(&self) {
        // A statement of its own: in the head of the loop the lock would be held while tasks are polled.
        let woken = std::mem::take(&mut *self.woken.tasks.lock());
        for id in woken {
            // Out of the table while it is polled: settling a promise can start another task.
            let Some((mut task, waker)) = self.waiting.borrow_mut().remove(&id) else { continue };
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                self.waiting.borrow_mut().insert(id, (task, waker));
            }
        }
        if self.waiting.borrow().is_empty() {
            self.release_process();
        }
    }

    fn keep_process(&self, first: bool) {
        if first {
            // SAFETY: this is the environment's own thread, and the bell lives as long as `self`.
            unsafe { sys::napi_ref_threadsafe_function(self.env.raw(), self.woken.bell.raw()) };
        }
    }

    fn release_process(&self) {
        // SAFETY: as above; releasing twice does nothing.
        unsafe { sys::napi_unref_threadsafe_function(self.env.raw(), self.woken.bell.raw()) };
    }
}

/// A promise for what `future` yields. A panic inside it rejects with `INTERNAL`.
pub(crate) fn promise<T: ToNapiValue + 'static>(
    env: &Env,
    future: impl Future<Output = Result<T, Error>> + 'static,
) -> napi::Result<PromiseRaw<'_, T>> {
    let (env, mut deferred, mut promise) = (*env, ptr::null_mut(), ptr::null_mut());
    // SAFETY: called from JavaScript on its own thread, with two places to write to.
    check_status!(unsafe { sys::napi_create_promise(env.raw(), &raw mut deferred, &raw mut promise) })?;
    let task = Box::pin(async move { settle(env, deferred, caught(future).await) });
    Tasks::of(env)?.start(task);
    Ok(PromiseRaw::new(env.raw(), promise))
}

async fn caught<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut future = Box::pin(future);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))).unwrap_or_else(|_| {
            Poll::Ready(Err(Error::new(ErrorCode::Internal, "a call panicked; standard error has more")))
        })
    })
    .await
}

fn settle<T: ToNapiValue>(env: Env, deferred: sys::napi_deferred, result: Result<T, Error>) {
    let value = match result {
        // SAFETY: tasks are polled inside a call from JavaScript only.
        Ok(value) => unsafe { T::to_napi_value(env.raw(), value) }.map(|value| (true, value)),
        Err(error) => js_error(&env, &error).map(|value| (false, value)),
    };
    // Without memory for a value nothing can be settled; the process is about to end.
    let Ok((fulfilled, value)) = value else { return };
    // SAFETY: the deferred is settled once, here, and `value` belongs to the current scope.
    unsafe {
        if fulfilled {
            sys::napi_resolve_deferred(env.raw(), deferred, value);
        } else {
            sys::napi_reject_deferred(env.raw(), deferred, value);
        }
    }
}
