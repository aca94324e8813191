//! Replies on their way to JavaScript: one call into it tells many. The promises are JavaScript's own, and each call
//! has a slot there.

use std::cell::RefCell;
use std::ptr;
use std::rc::Rc;

use bindwright::{Body, Error, Reply};
use napi::bindgen_prelude::ToNapiValue;
use napi::{Env, check_status, sys};

use crate::convert::{Data, undefined};
use crate::errors::ErrorParts;
use crate::packed::Packed;

/// So many replies are told at once. A reply that is kept keeps the text of all of them.
const AT_ONCE: usize = 64;

/// The functions of one instance of the TypeScript layer that hear of replies; see `ts/calls.ts`.
pub(crate) struct Listener {
    env: Env,
    /// `(text, slot, end, slot, end, …)`: replies without data, each with its part of the text.
    replies: sys::napi_ref,
    /// `(slot, data, text)`.
    reply: sys::napi_ref,
    /// `(slot, parts)`.
    failure: sys::napi_ref,
}

impl Listener {
    /// # Safety
    /// Called on the environment's thread with functions of it.
    pub(crate) unsafe fn new(env: Env, functions: [sys::napi_value; 3]) -> napi::Result<Self> {
        let mut references = [ptr::null_mut(); 3];
        for (function, reference) in functions.into_iter().zip(&mut references) {
            // SAFETY: as the caller promises.
            check_status!(unsafe { sys::napi_create_reference(env.raw(), function, 1, reference) })?;
        }
        let [replies, reply, failure] = references;
        Ok(Self { env, replies, reply, failure })
    }

    /// Calls one of the functions. They only resolve promises: what hangs on those runs later, and none of them throws.
    fn call(&self, function: sys::napi_ref, arguments: &[sys::napi_value]) {
        let (env, mut callee) = (self.env.raw(), ptr::null_mut());
        // SAFETY: tasks are polled inside a call from JavaScript only; the arguments belong to an open scope. In a
        // worker that is being terminated the call does nothing.
        unsafe {
            sys::napi_get_reference_value(env, function, &raw mut callee);
            let this = undefined(self.env);
            sys::napi_call_function(env, this, callee, arguments.len(), arguments.as_ptr(), ptr::null_mut());
        }
    }

    /// Has a scope for the values of one call.
    fn scoped(&self, told: impl FnOnce() -> napi::Result<()>) {
        let mut scope = ptr::null_mut();
        // SAFETY: tasks are polled inside a call from JavaScript only.
        unsafe { sys::napi_open_handle_scope(self.env.raw(), &raw mut scope) };
        // Without memory for a value there is nothing to tell.
        let _ = told();
        // SAFETY: as above; the scope was opened here.
        unsafe { sys::napi_close_handle_scope(self.env.raw(), scope) };
    }

    fn tell_replies(&self, packed: &Packed, places: &[(u32, u32)]) {
        let env = self.env.raw();
        self.scoped(|| {
            let mut arguments = Vec::with_capacity(1 + 2 * places.len());
            // SAFETY: tasks are polled inside a call from JavaScript only.
            unsafe {
                arguments.push(<&str>::to_napi_value(env, packed.text())?);
                for (slot, end) in places {
                    arguments.push(u32::to_napi_value(env, *slot)?);
                    arguments.push(u32::to_napi_value(env, *end)?);
                }
            }
            self.call(self.replies, &arguments);
            Ok(())
        });
    }

    fn tell_reply(&self, slot: u32, body: Body, packed: &Packed) {
        let env = self.env.raw();
        self.scoped(|| {
            // SAFETY: tasks are polled inside a call from JavaScript only.
            let arguments = unsafe {
                [
                    u32::to_napi_value(env, slot)?,
                    Data::to_napi_value(env, Data(body))?,
                    <&str>::to_napi_value(env, packed.text())?,
                ]
            };
            self.call(self.reply, &arguments);
            Ok(())
        });
    }

    fn tell_failure(&self, slot: u32, error: &Error) {
        let env = self.env.raw();
        self.scoped(|| {
            // SAFETY: tasks are polled inside a call from JavaScript only.
            let arguments = unsafe {
                [u32::to_napi_value(env, slot)?, ErrorParts::to_napi_value(env, ErrorParts::from(error))?]
            };
            self.call(self.failure, &arguments);
            Ok(())
        });
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        for reference in [self.replies, self.reply, self.failure] {
            // SAFETY: dropped on the environment's thread, at the latest in its cleanup.
            unsafe { sys::napi_delete_reference(self.env.raw(), reference) };
        }
    }
}

/// Names a call of one listener: tasks of all listeners of a thread share one list. Keys of other calls have no
/// listener, so that theirs are smaller.
pub(crate) fn number(listener: u32, slot: u32) -> u64 {
    (u64::from(listener) + 1) << 32 | u64::from(slot)
}

/// The listeners of this thread. An environment has one for each instance of the TypeScript layer.
#[derive(Default)]
pub(crate) struct Listeners(RefCell<Vec<Rc<Listener>>>);

impl Listeners {
    pub(crate) fn add(&self, listener: Listener) -> u32 {
        let mut all = self.0.borrow_mut();
        all.push(Rc::new(listener));
        u32::try_from(all.len() - 1).unwrap_or(u32::MAX)
    }

    fn of(&self, number: u64) -> Option<Rc<Listener>> {
        let place = usize::try_from(number >> 32).ok()?.checked_sub(1)?;
        self.0.borrow().get(place).cloned()
    }
}

/// Replies of one turn of the loop.
pub(crate) struct Home<'a> {
    listeners: &'a Listeners,
    listener: Option<(u64, Rc<Listener>)>,
    packed: Packed,
    places: Vec<(u32, u32)>,
}

impl<'a> Home<'a> {
    pub(crate) fn new(listeners: &'a Listeners) -> Self {
        Self { listeners, listener: None, packed: Packed::default(), places: Vec::new() }
    }

    /// Tells a result, at the latest when this is dropped.
    pub(crate) fn bring(&mut self, number: u64, result: Result<Reply, Error>) {
        let Some(listener) = self.listener_of(number) else { return };
        // Its lower half.
        #[allow(clippy::cast_possible_truncation, reason = "the rest names the listener")]
        let slot = number as u32;
        match result {
            Ok(Reply { body: Body::None, metadata }) => {
                self.packed.add(&metadata);
                self.places.push((slot, self.packed.units()));
                if self.places.len() >= AT_ONCE {
                    self.flush();
                }
            }
            Ok(Reply { body, metadata }) => {
                let mut packed = Packed::default();
                packed.add(&metadata);
                listener.tell_reply(slot, body, &packed);
            }
            Err(error) => listener.tell_failure(slot, &error),
        }
    }

    fn listener_of(&mut self, number: u64) -> Option<Rc<Listener>> {
        let key = number >> 32;
        if self.listener.as_ref().is_none_or(|(known, _)| *known != key) {
            self.flush();
            self.listener = self.listeners.of(number).map(|listener| (key, listener));
        }
        self.listener.as_ref().map(|(_, listener)| listener.clone())
    }

    fn flush(&mut self) {
        if let Some((_, listener)) = &self.listener
            && !self.places.is_empty()
        {
            listener.tell_replies(&self.packed, &self.places);
        }
        self.packed.clear();
        self.places.clear();
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}
