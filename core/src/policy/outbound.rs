//! A policy around the calls of one component: retry(breaker(timeout(call))), and the caller's deadline above all.
//!
//! Cancel safe: a call that is dropped gives back what the breaker counted for it. The clock is tokio's, which is
//! the system's outside of tests. Tests are in `tests.rs`.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::breaker::{BreakerState, Permit, Refusal};
use super::{Backoff, Breaker, Counts, Ledger, PolicyUse, Retry};
use crate::binding::{Call, OutputBinding, Reply, Request};
use crate::error::{Error, ErrorCode, Result};
use crate::health::{Health, State};

/// What concerns the calls of one component.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    /// How long one attempt may take.
    pub(crate) timeout: Option<Duration>,
    /// Which calls are repeated, and when.
    pub(crate) retry: Option<Retry>,
    /// What refuses calls that would only fail.
    pub(crate) breaker: Option<Arc<Breaker>>,
    /// No pause between attempts is longer; shortens those of a test.
    pub(crate) longest_pause: Duration,
    /// What it did.
    pub(crate) counts: Arc<Counts>,
}

/// Why there is no further attempt.
enum Stop {
    /// Another would not help, or none is left.
    Final,
    /// It would begin after the caller's deadline.
    TooLate,
    /// The breaker lets nothing pass.
    Refused,
}

impl Outbound {
    /// Runs one operation as often as the policy says.
    ///
    /// # Errors
    /// Those of the last attempt, with the number of attempts in the text; `CIRCUIT_OPEN` when already the first was
    /// refused; `OUTCOME_UNKNOWN` when an attempt may have taken effect that the operation does not bear twice.
    pub(crate) async fn invoke(
        &self,
        binding: &dyn OutputBinding,
        call: &Call,
        request: Request,
    ) -> Result<Reply> {
        let mut failures = Failures::default();
        let mut request = Some(request);
        self.counts.executed();
        loop {
            let permit = match self.admit() {
                Ok(permit) => permit,
                Err(refused) => return Err(failures.end(&Stop::Refused).unwrap_or(refused)),
            };
            // Only a call that can be repeated pays for a copy; the data itself is shared.
            let copy = if self.retry.is_some() { request.clone() } else { request.take() };
            let attempt = self.attempt(call);
            let result = binding.invoke(&attempt, copy.unwrap_or_default()).await;
            report(permit, result.as_ref().err());
            let Err(error) = result else { return result };
            self.note_time(call, &attempt);
            failures.add(error, binding.is_repeatable(&call.operation));
            match self.next(binding, call, &failures, self.pause(failures.attempts)) {
                Ok(pause) => {
                    self.counts.retried();
                    tokio::time::sleep(pause).await;
                }
                Err(stop) => return failures.end(&stop).map_or_else(|| Err(nothing_sent()), Err),
            }
        }
    }

    /// As [`invoke`](Self::invoke) for many requests. An attempt is one for all that still need it, with one timeout;
    /// the breaker admits and counts each of them.
    pub(crate) async fn invoke_many(
        &self,
        binding: &dyn OutputBinding,
        call: &Call,
        requests: Vec<Request>,
    ) -> Vec<Result<Reply>> {
        let mut items: Vec<Item> = requests.into_iter().map(Item::new).collect();
        let mut pending: Vec<usize> = (0..items.len()).collect();
        for _ in &items {
            self.counts.executed();
        }
        let mut attempts = 0;
        while !pending.is_empty() {
            attempts += 1;
            let answered = self.round(binding, call, &mut items, &pending).await;
            let pause = self.pause(attempts);
            pending.clear();
            for index in answered {
                let item = &mut items[index];
                match self.next(binding, call, &item.failures, pause) {
                    Ok(_) => {
                        self.counts.retried();
                        pending.push(index);
                    }
                    Err(stop) => item.end(&stop),
                }
            }
            if let (Some(pause), false) = (pause, pending.is_empty()) {
                tokio::time::sleep(pause).await;
            }
        }
        items.into_iter().map(|item| item.result.unwrap_or_else(|| Err(nothing_sent()))).collect()
    }

    /// One attempt for the pending items; gives the ones that failed.
    async fn round(
        &self,
        binding: &dyn OutputBinding,
        call: &Call,
        items: &mut [Item],
        pending: &[usize],
    ) -> Vec<usize> {
        let mut sent = Vec::with_capacity(pending.len());
        let mut requests = Vec::with_capacity(pending.len());
        for &index in pending {
            let item = &mut items[index];
            match self.admit() {
                Ok(permit) => {
                    sent.push((index, permit));
                    let copy = if self.retry.is_some() { item.request.clone() } else { item.request.take() };
                    requests.push(copy.unwrap_or_default());
                }
                Err(refused) => item.refuse(refused),
            }
        }
        if sent.is_empty() {
            return Vec::new();
        }
        let attempt = self.attempt(call);
        let mut results = binding.invoke_many(&attempt, requests).await.into_iter();
        let mut failed = Vec::new();
        for (index, permit) in sent {
            let result = results.next().unwrap_or_else(|| Err(nothing_sent()));
            report(permit, result.as_ref().err());
            let item = &mut items[index];
            match result {
                Ok(reply) => item.result = Some(Ok(reply)),
                Err(error) => {
                    self.note_time(call, &attempt);
                    item.failures.add(error, binding.is_repeatable(&call.operation));
                    failed.push(index);
                }
            }
        }
        failed
    }

    /// How often a call is attempted, and how long that takes.
    pub(crate) fn ledger(&self) -> Ledger {
        let once = Backoff { retries: Some(0), ..Backoff::default() };
        Ledger::of(self.retry.as_ref().map_or(&once, |retry| &retry.backoff), self.timeout)
    }

    /// The health of the component, not better than the breaker's.
    pub(crate) fn health(&self, health: Health) -> Health {
        let now = now();
        let Some((breaker, BreakerState::Open { until })) =
            self.breaker.as_ref().map(|breaker| (breaker, breaker.state(now)))
        else {
            return health;
        };
        let error = breaker.error(Refusal::Open { until }, now);
        health.or_worse(Health { state: State::Degraded, error: Some(error) })
    }

    fn admit(&self) -> Result<Option<Permit>> {
        let Some(breaker) = &self.breaker else { return Ok(None) };
        let now = now();
        breaker.admit(now).map(Some).map_err(|refusal| breaker.error(refusal, now))
    }

    /// The call with the deadline of one attempt.
    fn attempt<'a>(&self, call: &'a Call) -> Cow<'a, Call> {
        match self.timeout.and_then(|timeout| now().checked_add(timeout)) {
            Some(deadline) if deadline < call.deadline => Cow::Owned(Call { deadline, ..call.clone() }),
            _ => Cow::Borrowed(call),
        }
    }

    /// Counts a failed attempt that had its time, where that was the policy's and not the caller's.
    fn note_time(&self, call: &Call, attempt: &Call) {
        if attempt.deadline < call.deadline && now() >= attempt.deadline {
            self.counts.timed_out();
        }
    }

    /// What it did, for those who watch.
    pub(crate) fn told(&self, component: &str) -> PolicyUse {
        let breaker = self.breaker.as_ref().map(|breaker| breaker.told(now()));
        let has = (self.timeout.is_some(), self.retry.is_some());
        self.counts.told(component, false, has, breaker)
    }

    /// The pause after so many failed attempts; `None` when there is no further one.
    fn pause(&self, failed_attempts: u32) -> Option<Duration> {
        let pause = self.retry.as_ref()?.backoff.draw(failed_attempts)?;
        Some(pause.min(self.longest_pause))
    }

    /// The pause before the next attempt, or why there is none.
    fn next(
        &self,
        binding: &dyn OutputBinding,
        call: &Call,
        failures: &Failures,
        pause: Option<Duration>,
    ) -> Result<Duration, Stop> {
        let (Some(retry), Some(pause), Some(error)) = (&self.retry, pause, &failures.last) else {
            return Err(Stop::Final);
        };
        if !retry.covers(error, binding.is_repeatable(&call.operation)) {
            return Err(Stop::Final);
        }
        let now = now();
        // Waiting for an open breaker would only end in its refusal.
        if let Some(breaker) = &self.breaker
            && let BreakerState::Open { .. } = breaker.state(now)
        {
            return Err(Stop::Refused);
        }
        if now.checked_add(pause).is_none_or(|begin| begin >= call.deadline) {
            return Err(Stop::TooLate);
        }
        let attempt = failures.attempts;
        tracing::debug!(target: "bindwright", attempt, ?pause, %error, "the call is tried again after a pause");
        Ok(pause)
    }
}

/// What became of one call so far.
#[derive(Default)]
struct Failures {
    attempts: u32,
    last: Option<Error>,
    /// The first failure that may have taken effect, where the operation does not bear it twice.
    unknown: Option<Error>,
}

impl Failures {
    fn add(&mut self, error: Error, is_repeatable: bool) {
        self.attempts = self.attempts.saturating_add(1);
        if error.code() == ErrorCode::OutcomeUnknown && !is_repeatable && self.unknown.is_none() {
            self.unknown = Some(error.clone());
        }
        self.last = Some(error);
    }

    /// The error that the caller gets; `None` when nothing was tried.
    fn end(&mut self, stop: &Stop) -> Option<Error> {
        let last = self.last.take()?;
        let error = match self.unknown.take() {
            // "Nothing was sent" would be true of the last attempt only.
            Some(unknown) if last.code() != ErrorCode::OutcomeUnknown => {
                unknown.note(&format!("a later attempt: {}", last.message()))
            }
            _ => last,
        };
        let attempts = match self.attempts {
            1 => "1 attempt was made".to_owned(),
            attempts => format!("{attempts} attempts were made"),
        };
        Some(match stop {
            Stop::Final if self.attempts == 1 => error,
            Stop::Final => error.note(&attempts),
            Stop::TooLate => error.note(&format!("{attempts}, and there was no time for another")),
            Stop::Refused => error.note(&format!("{attempts}, then the circuit breaker let none pass")),
        })
    }
}

/// One of many requests.
struct Item {
    request: Option<Request>,
    failures: Failures,
    result: Option<Result<Reply>>,
}

impl Item {
    fn new(request: Request) -> Self {
        Self { request: Some(request), failures: Failures::default(), result: None }
    }

    fn end(&mut self, stop: &Stop) {
        self.result = self.failures.end(stop).map(Err);
    }

    fn refuse(&mut self, refused: Error) {
        self.result = Some(Err(self.failures.end(&Stop::Refused).unwrap_or(refused)));
    }
}

fn report(permit: Option<Permit>, error: Option<&Error>) {
    if let Some(permit) = permit {
        permit.report(error, now());
    }
}

fn nothing_sent() -> Error {
    Error::new(ErrorCode::Internal, "the component gave no result for a request")
}

/// The moment, by a clock that tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
