//! Promises for core's futures.
//!
//! Core's futures are polled on the JavaScript thread, and Node needs no runtime of its own; see
//! [`bindwright::event_loop`].
//!
//! A task keeps the process alive until its promise is settled, as an open request of `node:http` does; a client
//! without one does not.

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

use crate::error::js_error;

type Callback = ThreadsafeFunction<(), (), (), Status, false, true>;

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
        let callback =
            answer.build_threadsafe_function::<()>().callee_handled::<false>().weak::<true>().build()?;
        let bell = Ring(Arc::new(callback));
        let guests = event_loop::Tasks::new(bell.clone());
        let tasks = Rc::new(Self { env, bell, guests, next: Cell::new(0) });
        env.add_env_cleanup_hook((), |()| drop(TASKS.take()))?;
        TASKS.set(Some(tasks.clone()));
        Ok(tasks)
    }

    fn start(&self, task: Task) {
        let number = self.next.replace(self.next.get() + 1);
        if self.guests.start(number, task).is_none() && self.guests.waiting() == 1 {
            self.keep_process();
        }
    }

    fn poll_woken(&self) {
        self.guests.poll_woken(|_, ()| ());
        if self.guests.waiting() == 0 {
            self.release_process();
        }
    }

    fn keep_process(&self) {
        // SAFETY: this is the environment's own thread, and the bell lives as long as `self`.
        unsafe { sys::napi_ref_threadsafe_function(self.env.raw(), self.bell.0.raw()) };
    }

    fn release_process(&self) {
        // SAFETY: as above; releasing twice does nothing.
        unsafe { sys::napi_unref_threadsafe_function(self.env.raw(), self.bell.0.raw()) };
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
