//! What calls are answered.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Invocation;
use crate::binding::Reply;
use crate::body::Body;
use crate::error::{Error, ErrorCode, Result};
use crate::metadata::Metadata;

type Function = dyn Fn(&Invocation) -> Result<Reply> + Send + Sync;

/// How a fake answers a call.
#[derive(Clone)]
pub struct Answer {
    what: What,
    operation: Option<Box<str>>,
    /// `None` for ever.
    times: Option<u32>,
    delay: Duration,
}

#[derive(Clone)]
enum What {
    Reply(Reply),
    Error(Error),
    Function(Arc<Function>),
}

impl Answer {
    fn new(what: What) -> Self {
        Self { what, operation: None, times: None, delay: Duration::ZERO }
    }

    /// Succeeds with this reply.
    pub fn reply(reply: Reply) -> Self {
        Self::new(What::Reply(reply))
    }

    /// Succeeds with this data.
    pub fn body(body: impl Into<Body>) -> Self {
        Self::reply(Reply { body: body.into(), metadata: Metadata::new() })
    }

    /// Fails with this error, or with one of this code. Whether trying again can help is as the error says, so that
    /// policies retry it or not as they would outside.
    pub fn error(error: impl Into<Failure>) -> Self {
        Self::new(What::Error(error.into().0))
    }

    /// Answers what a function makes of each call; `error` of the [`Invocation`] is always `None`. It runs on the
    /// thread that polls the call, which it should not hold up for long.
    pub fn function(function: impl Fn(&Invocation) -> Result<Reply> + Send + Sync + 'static) -> Self {
        Self::new(What::Function(Arc::new(function)))
    }

    /// Only for calls of this operation; without it, for all.
    #[must_use]
    pub fn operation(mut self, operation: &str) -> Self {
        self.operation = Some(operation.into());
        self
    }

    /// Only for the next so many calls that it fits, attempts of policies included; without it, for ever.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Answers after so long, at the latest at the call's deadline: then an error comes as it is, and anything else
    /// becomes `TIMEOUT`. Default 0.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    fn fits(&self, operation: &str) -> bool {
        self.operation.as_deref().is_none_or(|only| only == operation)
    }

    /// Answers a call in its time.
    pub(super) async fn give(&self, invocation: &Invocation, deadline: Instant) -> Result<Reply> {
        let in_time = self.delay.is_zero()
            || tokio::time::timeout_at(deadline.into(), tokio::time::sleep(self.delay)).await.is_ok();
        match &self.what {
            What::Error(error) => Err(error.clone()),
            _ if !in_time => {
                let message = "the sandbox was told to answer later (delay) than the call's deadline";
                Err(Error::new(ErrorCode::Timeout, message))
            }
            What::Reply(reply) => Ok(reply.clone()),
            What::Function(function) => function(invocation),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what: &dyn fmt::Debug = match &self.what {
            What::Reply(reply) => reply,
            What::Error(error) => error,
            What::Function(_) => &"a function",
        };
        let mut shown = formatter.debug_struct("Answer");
        shown.field("what", what).field("operation", &self.operation).field("times", &self.times);
        shown.field("delay", &self.delay).finish()
    }
}

/// What an [`Answer`] fails with: an error, or the code of one.
#[derive(Debug)]
pub struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self(Error::new(code, "the sandbox was told to fail"))
    }
}

/// The answers of all bindings, those of one in the order in which they were given.
#[derive(Debug, Default)]
pub(super) struct Script(HashMap<Box<str>, Answers>);

#[derive(Debug, Default)]
struct Answers {
    counted: VecDeque<Answer>,
    lasting: Vec<Answer>,
}

impl Script {
    /// Adds an answer; gives the one whose place it takes.
    pub(super) fn add(&mut self, binding: &str, answer: Answer) -> Option<Answer> {
        let answers = self.0.entry(binding.into()).or_default();
        match answer.times {
            Some(0) => return Some(answer),
            Some(_) => {
                answers.counted.push_back(answer);
                return None;
            }
            None => {}
        }
        let same = |known: &mut Answer| known.operation == answer.operation;
        if let Some(known) = answers.lasting.iter_mut().find_map(|known| same(known).then_some(known)) {
            return Some(std::mem::replace(known, answer));
        }
        // Those of an operation come first.
        let index = if answer.operation.is_some() { 0 } else { answers.lasting.len() };
        answers.lasting.insert(index, answer);
        None
    }

    /// The answer to the next call; `None` for the usual one.
    pub(super) fn next(&mut self, binding: &str, operation: &str) -> Option<Answer> {
        let answers = self.0.get_mut(binding)?;
        if let Some(index) = answers.counted.iter().position(|answer| answer.fits(operation)) {
            let answer = &mut answers.counted[index];
            let left = answer.times.map_or(0, |times| times - 1);
            answer.times = Some(left);
            return if left == 0 { answers.counted.remove(index) } else { Some(answer.clone()) };
        }
        answers.lasting.iter().find(|answer| answer.fits(operation)).cloned()
    }
}
