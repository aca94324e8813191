//! Promises for core's futures.
//!
//! Core's futures are polled on the JavaScript thread, and Node needs no runtime of its own; see
//! [`bindwright::event_loop`]. What completes elsewhere rings once for many, and one turn of the loop settles them all.
//!
//! Invocations, of which there are many, have promises that JavaScript makes and settles: see `answers.rs`. All else
//! has a promise of its own here.
//!
//! A call keeps the process alive until its promise is settled, as an open request of `node:http` does; a client
//! without one does not, nor does a task that says so (`Keeps::Nothing`).

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use bindwright::event_loop::{self, Bell, caught};
use bindwright::{Error, Reply};
use napi::bindgen_prelude::{PromiseRaw, ToNapiValue};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status, check_status, sys};

use crate::answers::{Home, Listener, Listeners, number};
use crate::convert::undefined;
use crate::errors::ErrorParts;

type Callback = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Numbers from here on are ours; those below are the keys and slots of calls that can be aborted.
const FIRST_OWN: u64 = 1 << 63;

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

/// What a task leaves to do when it is ready.
enum Done {
    /// It has settled its promise.
    Settled,
    /// JavaScript has the promise.
    Answered(Result<Reply, Error>),
}

type Task = Pin<Box<dyn Future<Output = Done>>>;

struct Tasks {
    env: Env,
    bell: Ring,
    guests: event_loop::Tasks<dyn Future<Output = Done>>,
    listeners: Listeners,
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
        let listeners = Listeners::default();
        let tasks = Rc::new(Self { env, bell, guests, listeners, next, keeping, keeps });
        env.add_env_cleanup_hook((), |()| {
            ENDING.set(true);
            drop(TASKS.take());
            ENDING.set(false);
        })?;
        TASKS.set(Some(tasks.clone()));
        Ok(tasks)
    }

    fn start(&self, key: Option<u64>, task: Task) -> Option<Done> {
        let number = key.unwrap_or_else(|| self.next.replace(self.next.get() + 1));
        let done = self.guests.start(number, task);
        self.keep_or_release();
        done
    }

    fn poll_woken(&self) {
        let mut home = Home::new(&self.listeners);
        self.guests.poll_woken(|number, done| {
            if let Done::Answered(result) = done {
                home.bring(number, result);
            }
        });
        drop(home);
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
        Done::Settled
    });
    tasks.start(key.map(u64::from), task);
    Ok(PromiseRaw::new(env.raw(), promise))
}

/// Has these functions hear of what is answered; the number that [`answer`] wants.
///
/// # Safety
/// Called on the environment's thread with functions of it.
pub(crate) unsafe fn listen(env: Env, functions: [sys::napi_value; 3]) -> napi::Result<u32> {
    // SAFETY: as the caller promises.
    let listener = unsafe { Listener::new(env, functions) }?;
    Ok(Tasks::of(env)?.listeners.add(listener))
}

/// An invocation: its result when it is there at once, else the listener hears of it, with the slot. A panic inside it
/// is the error `INTERNAL`.
pub(crate) fn answer(
    env: Env,
    listener: u32,
    slot: u32,
    future: impl Future<Output = Result<Reply, Error>> + 'static,
) -> napi::Result<Option<Result<Reply, Error>>> {
    let tasks = Tasks::of(env)?;
    let kept = Kept::new(&tasks.keeping);
    let task = Box::pin(async move {
        let result = caught(future).await;
        drop(kept);
        Done::Answered(result)
    });
    Ok(match tasks.start(Some(number(listener, slot)), task) {
        Some(Done::Answered(result)) => Some(result),
        Some(Done::Settled) | None => None,
    })
}

/// Ends a call by its key, unless it is done: what was not handed to the backend is recalled.
pub(crate) fn abort(key: u32) {
    cancel(u64::from(key));
}

/// [`abort`] of what [`answer`] began; nobody hears of it any more.
pub(crate) fn abort_answer(listener: u32, slot: u32) {
    cancel(number(listener, slot));
}

fn cancel(number: u64) {
    if let Some(tasks) = TASKS.with_borrow(Option::clone) {
        tasks.cancel(number);
    }
}
