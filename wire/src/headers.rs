//! Headers that Dapr does not know: between a client of ours and `bindwright serve`. Others leave them out and ignore
//! them. Over gRPC they are metadata of the call.

/// On an event: which delivery of it this is; left out for the first.
pub const ATTEMPT: &str = "bindwright-attempt";
/// On the answer to an event: one of the three below, where the status alone does not tell.
pub const OUTCOME: &str = "bindwright-outcome";
/// [`OUTCOME`] of an event that was not handled, and is given up.
pub const DEAD_LETTER: &str = "dead-letter";
/// [`OUTCOME`] of an event that no handler had: the delivery does not count.
pub const RELEASED: &str = "released";
/// [`OUTCOME`] of an event that was handled: the body is the handler's reply as it is, and asks for no outputs.
pub const REPLY: &str = "reply";
/// On the answer to an event that was not handled: the code of the cause, whose text is the answer's. What is neither an
/// ASCII letter or digit nor one of `-._~` is percent-encoded; the value is empty where there is no cause.
pub const CAUSE: &str = "bindwright-cause-code";
/// On the answer to an event that was not handled: the pause before it is delivered again, in milliseconds.
pub const RETRY_AFTER_MS: &str = "bindwright-retry-after-ms";
/// On a call over HTTP: how long its caller waits, in milliseconds. gRPC has a header of its own for that.
pub const TIMEOUT_MS: &str = "bindwright-timeout-ms";
/// On the answer to a call that failed: the code of the error.
pub const ERROR_CODE: &str = "bindwright-error-code";
/// Beside [`ERROR_CODE`]: whether trying again can help, `true` or `false`.
pub const RETRIABLE: &str = "bindwright-retriable";
