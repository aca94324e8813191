//! Invocations: one, and many at once.

use std::sync::Arc;

use bindwright::{Body, Client, Reply, Result};
use napi::bindgen_prelude::{Array, External, Function, PromiseRaw, ToNapiValue, Uint32Array};
use napi::{Env, JsValue as _, sys};
use napi_derive::napi;

use crate::calls::{Keeps, abort_answer, answer, begin, listen};
use crate::convert::{Data, duration};
use crate::errors::ErrorParts;
use crate::packed::{Packed, unpacked};
use crate::payload::Payload;

/// So many replies of one call share a text.
const REPLIES_OF_A_TEXT: usize = 64;

/// What calls are about: an operation of a component. Kept by JavaScript, so that names cross once.
pub struct Target {
    client: Client,
    name: String,
    operation: String,
}

/// Makes a target.
pub(crate) fn target(client: &Client, name: String, operation: String) -> External<Arc<Target>> {
    External::new(Arc::new(Target { client: client.clone(), name, operation }))
}

/// Registers the functions that hear of replies; see `answers.rs`. Returns the number that `invoke` wants.
#[napi(catch_unwind)]
pub fn listen_for_replies(
    env: Env,
    replies: Function<'_, (), ()>,
    reply: Function<'_, (), ()>,
    failure: Function<'_, (), ()>,
) -> napi::Result<u32> {
    // SAFETY: called from JavaScript on its own thread.
    unsafe { listen(env, [replies.raw(), reply.raw(), failure.raw()]) }
}

/// Runs one operation. The data is copied before this returns. Answers with null when the listener will hear of it,
/// with this slot.
#[napi(catch_unwind)]
pub fn invoke(
    env: Env,
    listener: u32,
    slot: u32,
    target: &External<Arc<Target>>,
    data: Payload,
    metadata: Option<String>,
    timeout_ms: Option<f64>,
) -> napi::Result<Option<Answer>> {
    let request = data.request(unpacked(metadata.as_deref()));
    let (target, timeout) = (Arc::clone(target), timeout_ms.map(duration));
    let answered = answer(env, listener, slot, async move {
        target.client.invoke_binding(&target.name, &target.operation, request, timeout).await
    })?;
    Ok(answered.map(Answer))
}

/// Ends a call, unless it is done; the listener does not hear of it any more.
#[napi(catch_unwind)]
pub fn abort_invocation(listener: u32, slot: u32) {
    abort_answer(listener, slot);
}

/// Runs one operation for many: `metadata` has one entry for each, or one for all.
#[napi(catch_unwind)]
pub fn invoke_many<'env>(
    env: &'env Env,
    key: Option<u32>,
    target: &External<Arc<Target>>,
    data: Array<'_>,
    metadata: Vec<Option<String>>,
    timeout_ms: Option<f64>,
) -> napi::Result<PromiseRaw<'env, Answers>> {
    let mut requests = Vec::with_capacity(data.len() as usize);
    let all = (metadata.len() == 1).then(|| unpacked(metadata[0].as_deref()));
    for place in 0..data.len() {
        let payload = data.get::<Payload>(place)?.unwrap_or_default();
        let metadata = match &all {
            Some(metadata) => metadata.clone(),
            None => unpacked(metadata.get(place as usize).and_then(|each| each.as_deref())),
        };
        requests.push(payload.request(metadata));
    }
    let (target, timeout) = (Arc::clone(target), timeout_ms.map(duration));
    begin(env, key, Keeps::Process, async move {
        let results = target.client.invoke_many(&target.name, &target.operation, requests, timeout).await?;
        Ok(Answers::from(results))
    })
}

/// A reply as `metadata`, or `[data, metadata]` where there is data; or the parts of an error. Metadata is packed.
pub struct Answer(pub(crate) Result<Reply>);

impl ToNapiValue for Answer {
    unsafe fn to_napi_value(env: sys::napi_env, answer: Self) -> napi::Result<sys::napi_value> {
        let Reply { body, metadata } = match answer.0 {
            Ok(reply) => reply,
            // SAFETY: as the caller promises.
            Err(error) => return unsafe { ErrorParts::to_napi_value(env, ErrorParts::from(&error)) },
        };
        let mut packed = Packed::default();
        packed.add(&metadata);
        if body == Body::None {
            // SAFETY: as the caller promises.
            return unsafe { <&str>::to_napi_value(env, packed.text()) };
        }
        let env = Env::from_raw(env);
        let mut parts = env.create_array(2)?;
        parts.set(0, Data(body))?;
        parts.set(1, packed.text())?;
        Ok(parts.raw())
    }
}

/// What a call for many answers.
#[napi(object, object_from_js = false)]
pub struct Answers {
    /// The metadata of replies without data, so many to a text.
    pub texts: Vec<String>,
    /// Where each reply ends in its text.
    pub ends: Uint32Array,
    /// Replies with data and errors; their metadata has no length in `ends`.
    pub others: Vec<Other>,
}

/// One answer of many.
#[napi(object, object_from_js = false)]
pub struct Other {
    /// Whose answer it is.
    pub place: u32,
    /// As of one call.
    pub answer: Answer,
}

impl From<Vec<Result<Reply>>> for Answers {
    fn from(results: Vec<Result<Reply>>) -> Self {
        let mut texts = Vec::with_capacity(results.len().div_ceil(REPLIES_OF_A_TEXT));
        let mut ends = Vec::with_capacity(results.len());
        let mut others = Vec::new();
        let mut packed = Packed::default();
        for (place, result) in (0_u32..).zip(results) {
            if place > 0 && (place as usize).is_multiple_of(REPLIES_OF_A_TEXT) {
                texts.push(packed.text().to_owned());
                packed.clear();
            }
            match result {
                Ok(Reply { body: Body::None, metadata }) => packed.add(&metadata),
                result => others.push(Other { place, answer: Answer(result) }),
            }
            ends.push(packed.units());
        }
        texts.push(packed.text().to_owned());
        Self { texts, ends: Uint32Array::new(ends), others }
    }
}
