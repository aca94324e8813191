//! Promises for core's futures.
//!
//! Core's futures are polled on the JavaScript thread, and Node needs no runtime of its own; see
//! [`bindwright::event_loop`]. What completes elsewhere rings once for many, and one turn of the loop settles them all.
//!
//! A call keeps the process alive until its promise is settled, as an open request of `node:http` does; a client
//! without one does not, nor does a task that says so (`Keeps::Nothing`).

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use bindwright::Error;
use bindwright::event_loop::{self, Bell, caught};
use napi::bindgen_prelude::{PromiseRaw, ToNapiValue};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status, check_status, sys};

use crate::convert::undefined;
use crate::errors::ErrorParts;

type Callback = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Numbers from here on are ours; those below are the keys of calls that can be aborted.
const FIRST_OWN: u64 = 1 << 53;

/// Whether a task keeps the process alive while it waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// As long as somebody waits for its result.
    Process,
    /// It is there in case something comes.
    Nothing,
}

/// Has Node call back on its thread.
#[derive(Clone)]
struct Ring(Arc<Callback>);

impl Bell for Ring {
    fn ring(&self) {
        // Fails only when the environment is going away, and its tasks with it.
        self.0.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

/// Settles its promise before it is ready.
type Task = Pin<Box<dyn Future<Output = ()>>>;

struct Tasks {
    env: Env,
    bell: Ring,
    guests: event_loop::Tasks<dyn Future<Output = ()>>,
    next: Cell<u64>,
    /// Tasks that keep the process alive, and whether the bell does so for them.
    keeping: Rc<Cell<usize>>,
    keeps: Cell<bool>,
}

thread_local! {
    /// A worker thread of Node is an environment of its own, with tasks of its own.
    static TASKS: RefCell<Option<Rc<Tasks>>> = const { RefCell::new(None) };
    /// The environment is being torn down: what is dropped now has nobody to tell.
    static ENDING: Cell<bool> = const { Cell::new(false) };
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
        let callback =
            answer.build_threadsafe_function::<()>().callee_handled::<false>().weak::<true>().build()?;
        let bell = Ring(Arc::new(callback));
        let guests = event_loop::Tasks::new(bell.clone());
        let (next, keeping, keeps) = (Cell::new(FIRST_OWN), Rc::default(), Cell::new(false));
        let tasks = Rc::new(Self { env, bell, guests, next, keeping, keeps });
        env.add_env_cleanup_hook((), |()| {
            ENDING.set(true);
            drop(TASKS.take());
            ENDING.set(false);
        })?;
        TASKS.set(Some(tasks.clone()));
        Ok(tasks)
    }

    fn start(&self, key: Option<u64>, task: Task) {
        let number = key.unwrap_or_else(|| self.next.replace(self.next.get() + 1));
        self.guests.start(number, task);
        self.keep_or_release();
    }

    fn poll_woken(&self) {
        self.guests.poll_woken(|_, ()| ());
        self.keep_or_release();
    }

    fn cancel(&self, key: u64) {
        self.guests.cancel(key);
        self.keep_or_release();
    }

    /// Has the bell keep the process alive, or not any more.
    fn keep_or_release(&self) {
        let wanted = self.keeping.get() > 0;
        if self.keeps.replace(wanted) == wanted {
            return;
        }
        let (env, bell) = (self.env.raw(), self.bell.0.raw());
        // SAFETY: this is the environment's own thread, and the bell lives as long as `self`.
        unsafe {
            if wanted {
                sys::napi_ref_threadsafe_function(env, bell);
            } else {
                sys::napi_unref_threadsafe_function(env, bell);
            }
        }
    }
}

/// Counts a task that keeps the process alive, for as long as it is there.
struct Kept(Rc<Cell<usize>>);

impl Kept {
    fn new(keeping: &Rc<Cell<usize>>) -> Self {
        keeping.set(keeping.get() + 1);
        Self(keeping.clone())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The way to settle a promise. Dropped before that, it rejects with `undefined`: the call was aborted.
struct Deferred {
    env: Env,
    raw: sys::napi_deferred,
}

impl Deferred {
    fn settle<T: ToNapiValue>(mut self, result: Result<T, Error>) {
        let (raw, mut scope) = (std::mem::replace(&mut self.raw, ptr::null_mut()), ptr::null_mut());
        let env = self.env.raw();
        // A scope for each: a crowd that is settled in one turn would keep all its values alive.
        // SAFETY: tasks are polled inside a call from JavaScript only.
        unsafe { sys::napi_open_handle_scope(env, &raw mut scope) };
        let value = match result {
            // SAFETY: as above.
            Ok(value) => unsafe { T::to_napi_value(env, value) }.map(|value| (true, value)),
            // SAFETY: as above.
            Err(error) => unsafe { ErrorParts::to_napi_value(env, ErrorParts::from(&error)) }
                .map(|value| (false, value)),
        };
        // Without memory for a value there is nothing to tell.
        let (fulfilled, value) = value.unwrap_or_else(|_| (false, undefined(self.env)));
        // SAFETY: the deferred is settled once, here, and `value` belongs to the scope that is closed after it.
        unsafe {
            if fulfilled {
                sys::napi_resolve_deferred(env, raw, value);
            } else {
                sys::napi_reject_deferred(env, raw, value);
            }
            sys::napi_close_handle_scope(env, scope);
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if !self.raw.is_null() && !ENDING.get() {
            // SAFETY: tasks are cancelled inside a call from JavaScript only; the deferred is settled once.
            unsafe { sys::napi_reject_deferred(self.env.raw(), self.raw, undefined(self.env)) };
        }
    }
}

/// A promise for what `future` yields. A panic inside it rejects with `INTERNAL`.
pub(crate) fn promise<T: ToNapiValue + 'static>(
    env: &Env,
    future: impl Future<Output = Result<T, Error>> + 'static,
) -> napi::Result<PromiseRaw<'_, T>> {
    begin(env, None, Keeps::Process, future)
}

/// [`promise`] of a call that [`abort`] ends by its key, or of one that does not keep the process alive.
pub(crate) fn begin<T: ToNapiValue + 'static>(
    env: &Env,
    key: Option<u32>,
    keeps: Keeps,
    future: impl Future<Output = Result<T, Error>> + 'static,
) -> napi::Result<PromiseRaw<'_, T>> {
    let tasks = Tasks::of(*env)?;
    let (mut raw, mut promise) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: called from JavaScript on its own thread, with two places to write to.
    check_status!(unsafe { sys::napi_create_promise(env.raw(), &raw mut raw, &raw mut promise) })?;
    let deferred = Deferred { env: *env, raw };
    let kept = (keeps == Keeps::Process).then(|| Kept::new(&tasks.keeping));
    let task = Box::pin(async move {
        let result = caught(future).await;
        deferred.settle(result);
        drop(kept);
    });
    tasks.start(key.map(u64::from), task);
    Ok(PromiseRaw::new(env.raw(), promise))
}

/// Ends a call by its key, unless it is done: what was not handed to the backend is recalled.
pub(crate) fn abort(key: u32) {
    if let Some(tasks) = TASKS.with_borrow(Option::clone) {
        tasks.cancel(u64::from(key));
    }
}
