//! Outcomes as JavaScript tells them.

use bindwright::{Cause, Emission, Outcome};
use napi_derive::napi;

use crate::convert::{duration, metadata};
use crate::payload::Payload;

/// How one event of a batch ended.
#[napi(object, object_to_js = false)]
pub struct NativeOutcome {
    /// Its place in the batch.
    pub place: u32,
    /// `ack`, `retry`, `drop`, `deadLetter` or `emit`.
    pub kind: String,
    /// For `retry`: the pause before the next delivery.
    pub after_ms: Option<f64>,
    /// For `retry` and `deadLetter`: a short name and a text.
    pub cause: Option<Vec<String>>,
    /// For `emit`: what follows from the event.
    pub emissions: Option<Vec<NativeEmission>>,
}

/// An invocation that a handler asks for.
#[napi(object, object_to_js = false)]
pub struct NativeEmission {
    /// The component's name.
    pub binding: String,
    /// What it is asked to do.
    pub operation: String,
    /// What is sent; left out for no data.
    pub data: Option<Payload>,
    /// Names and values in turn.
    pub metadata: Option<Vec<String>>,
}

impl NativeOutcome {
    /// The place and the outcome; what is no outcome is one more delivery.
    pub(crate) fn told(self) -> (usize, Outcome) {
        let cause = self.cause.and_then(|cause| {
            let mut parts = cause.into_iter();
            Some(Box::new(Cause::new(parts.next()?, parts.next()?)))
        });
        let outcome = match self.kind.as_str() {
            "ack" => Outcome::Ack,
            "drop" => Outcome::Drop,
            "deadLetter" => Outcome::DeadLetter { cause },
            "emit" => Outcome::Emit(
                self.emissions.unwrap_or_default().into_iter().map(NativeEmission::asked).collect(),
            ),
            _ => Outcome::Retry { after: self.after_ms.map(duration), cause },
        };
        (self.place as usize, outcome)
    }
}

impl NativeEmission {
    fn asked(self) -> Emission {
        let request = self.data.unwrap_or_default().request(metadata(self.metadata));
        Emission { binding: self.binding, operation: self.operation, request }
    }
}
