//! Tests of a policy around calls, with an output that answers as it is told and a clock that does not wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;

use super::breaker::BreakerState;
use super::{Backoff, Breaker, BreakerSettings, Outbound, Retry, Trip};
use crate::binding::{Call, OutputBinding, Reply, Request};
use crate::body::Body;
use crate::error::{Error, ErrorCode, Result};
use crate::health::{Health, State};

const SECOND: Duration = Duration::from_secs(1);

/// What an attempt does.
#[derive(Clone, Copy)]
enum Act {
    Succeed,
    Fail(ErrorCode),
    /// Waits until the deadline, and answers with this.
    Hang(ErrorCode),
}

/// Answers from a list, then with success; notes when it was called, with which deadline and what.
#[derive(Default)]
struct Scripted {
    acts: Mutex<VecDeque<Act>>,
    seen: Mutex<Vec<(Instant, Instant, String)>>,
    is_repeatable: bool,
}

impl Scripted {
    fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self { acts: Mutex::new(acts.into_iter().collect()), ..Self::default() }
    }

    fn failing(times: usize, code: ErrorCode) -> Self {
        Self::new(vec![Act::Fail(code); times])
    }

    fn calls(&self) -> usize {
        self.seen.lock().len()
    }

    fn bodies(&self) -> Vec<String> {
        self.seen.lock().iter().map(|(_, _, body)| body.clone()).collect()
    }
}

#[async_trait]
impl OutputBinding for Scripted {
    fn operations(&self) -> &[&'static str] {
        &["create"]
    }

    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply> {
        let body = String::from_utf8_lossy(request.body.as_bytes().expect("bytes")).into_owned();
        self.seen.lock().push((now(), call.deadline, body.clone()));
        let act = self.acts.lock().pop_front().unwrap_or(Act::Succeed);
        match act {
            Act::Succeed => Ok(Reply { body: Body::from(body), ..Reply::default() }),
            Act::Fail(code) => Err(Error::new(code, "told to")),
            Act::Hang(code) => {
                tokio::time::sleep_until(call.deadline.into()).await;
                Err(Error::new(code, "told to hang"))
            }
        }
    }

    fn is_repeatable(&self, _operation: &str) -> bool {
        self.is_repeatable
    }

    async fn close(&self, _deadline: Instant) -> Result<()> {
        Ok(())
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn call_for(time: Duration) -> Call {
    Call { operation: "create".into(), deadline: now() + time }
}

fn plain() -> Outbound {
    Outbound {
        timeout: None,
        retry: None,
        breaker: None,
        longest_pause: Duration::MAX,
        counts: Arc::default(),
    }
}

/// Retries after one second each time.
fn retrying(retries: Option<u32>) -> Outbound {
    Outbound { retry: Some(Retry::constant(SECOND, retries)), ..plain() }
}

/// Opens after two failures in a row.
fn brittle() -> Arc<Breaker> {
    let trip = Trip::parse("consecutiveFailures > 1").expect("an expression").0;
    let settings = BreakerSettings { trip, ..BreakerSettings::default() };
    Arc::new(Breaker::new("a".into(), "outbound", settings))
}

async fn invoke(policy: &Outbound, binding: &Scripted, call: &Call) -> Result<Reply> {
    policy.invoke(binding, call, Request::new("x")).await
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_is_repeated_until_it_succeeds() {
    let binding = Scripted::failing(2, ErrorCode::Unavailable);
    let start = now();
    invoke(&retrying(None), &binding, &call_for(30 * SECOND)).await.expect("the third attempt");
    let times: Vec<_> = binding.seen.lock().iter().map(|(at, ..)| (*at - start).as_millis() / 100).collect();
    assert_eq!(times, [0, 10, 20]);
    assert_eq!(binding.bodies(), ["x", "x", "x"]);
}

#[tokio::test(start_paused = true)]
async fn the_last_error_tells_how_many_attempts_were_made() {
    let binding = Scripted::failing(9, ErrorCode::Unavailable);
    let error = invoke(&retrying(Some(2)), &binding, &call_for(30 * SECOND)).await.expect_err("it failed");
    assert_eq!((error.code(), binding.calls()), (ErrorCode::Unavailable, 3));
    assert_eq!(error.message(), "told to; 3 attempts were made");
}

#[tokio::test(start_paused = true)]
async fn what_no_retry_helps_is_not_repeated() {
    for code in
        [ErrorCode::InvalidRequest, ErrorCode::Cancelled, ErrorCode::Closed, ErrorCode::OutcomeUnknown]
    {
        let binding = Scripted::failing(1, code);
        let error = invoke(&retrying(None), &binding, &call_for(30 * SECOND)).await.expect_err("it failed");
        assert_eq!((error.code(), error.message(), binding.calls()), (code, "told to", 1));
    }
    let binding = Scripted::failing(1, ErrorCode::Unavailable);
    invoke(&plain(), &binding, &call_for(30 * SECOND)).await.expect_err("there is no retry policy");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_repeated_where_the_operation_bears_it_or_the_policy_says_so() {
    let unknown = || Scripted::failing(1, ErrorCode::OutcomeUnknown);
    let repeatable = Scripted { is_repeatable: true, ..unknown() };
    invoke(&retrying(None), &repeatable, &call_for(30 * SECOND)).await.expect("repeated");
    let mut policy = retrying(None);
    policy.retry = policy.retry.map(|retry| Retry { repeat_unknown: true, ..retry });
    invoke(&policy, &unknown(), &call_for(30 * SECOND)).await.expect("repeated");
    // "Nothing was sent" would be wrong of the call as a whole.
    let binding = Scripted::new([Act::Fail(ErrorCode::OutcomeUnknown), Act::Fail(ErrorCode::InvalidRequest)]);
    let error = invoke(&policy, &binding, &call_for(30 * SECOND)).await.expect_err("it failed");
    assert_eq!(error.code(), ErrorCode::OutcomeUnknown);
    assert_eq!(error.message(), "told to; a later attempt: told to; 2 attempts were made");
}

#[tokio::test(start_paused = true)]
async fn no_retry_begins_after_the_callers_deadline() {
    let binding = Scripted::failing(9, ErrorCode::Unavailable);
    let (start, call) = (now(), call_for(SECOND * 5 / 2));
    let error = invoke(&retrying(None), &binding, &call).await.expect_err("it failed");
    assert_eq!(error.message(), "told to; 3 attempts were made, and there was no time for another");
    assert!(now() < start + SECOND * 21 / 10, "the caller need not wait for a pause that leads nowhere");
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_timeout_and_none_outlives_the_caller() {
    let policy = Outbound { timeout: Some(2 * SECOND), ..retrying(None) };
    let binding = Scripted::new([Act::Hang(ErrorCode::Timeout), Act::Hang(ErrorCode::Timeout)]);
    let (start, call) = (now(), call_for(SECOND * 9 / 2));
    let error = invoke(&policy, &binding, &call).await.expect_err("it failed");
    assert_eq!(error.code(), ErrorCode::Timeout);
    let deadlines: Vec<_> = binding.seen.lock().iter().map(|(_, deadline, _)| *deadline).collect();
    assert_eq!((deadlines[0], deadlines[1]), (start + 2 * SECOND, call.deadline));
    assert!(now() < call.deadline + SECOND / 10);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_calls_and_degrades_the_component() {
    let policy = Outbound { breaker: Some(brittle()), ..plain() };
    let binding = Scripted::failing(2, ErrorCode::Backend);
    let call = call_for(300 * SECOND);
    for _ in 0..2 {
        assert_eq!(policy.health(Health::READY).state, State::Ready);
        invoke(&policy, &binding, &call).await.expect_err("it failed");
    }
    let error = invoke(&policy, &binding, &call).await.expect_err("it is open");
    assert_eq!((error.code(), error.retriable(), binding.calls()), (ErrorCode::CircuitOpen, Some(true), 2));
    let health = policy.health(Health::READY);
    assert_eq!(health.state, State::Degraded);
    assert_eq!(health.error.map(|error| error.code()), Some(ErrorCode::CircuitOpen));
    assert_eq!(policy.health(Health::of(State::Failed)).state, State::Failed);
    tokio::time::advance(60 * SECOND).await;
    invoke(&policy, &binding, &call).await.expect("half-open");
    assert_eq!(policy.health(Health::READY).state, State::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_ends_the_retries_at_once() {
    let policy = Outbound { breaker: Some(brittle()), ..retrying(None) };
    let binding = Scripted::failing(9, ErrorCode::Unavailable);
    let start = now();
    let error = invoke(&policy, &binding, &call_for(300 * SECOND)).await.expect_err("it failed");
    assert_eq!((error.code(), binding.calls()), (ErrorCode::Unavailable, 2));
    assert!(
        error.message().ends_with("2 attempts were made, then the circuit breaker let none pass"),
        "{error}"
    );
    assert!(now() < start + SECOND * 11 / 10, "no pause after the breaker opened");
    let error = invoke(&policy, &binding, &call_for(300 * SECOND)).await.expect_err("it is open");
    assert_eq!((error.code(), binding.calls()), (ErrorCode::CircuitOpen, 2));
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_caller_do_not_count() {
    let policy = Outbound { breaker: Some(brittle()), ..plain() };
    let fails =
        [ErrorCode::Backend, ErrorCode::InvalidRequest, ErrorCode::PayloadTooLarge, ErrorCode::Cancelled];
    let binding = Scripted::new(fails.map(Act::Fail));
    let call = call_for(30 * SECOND);
    for _ in 0..4 {
        invoke(&policy, &binding, &call).await.expect_err("it failed");
    }
    let breaker = policy.breaker.as_ref().expect("a breaker");
    assert_eq!(breaker.state(now()), BreakerState::Closed);
    binding.acts.lock().push_back(Act::Fail(ErrorCode::Backend));
    invoke(&policy, &binding, &call).await.expect_err("it failed");
    assert_ne!(breaker.state(now()), BreakerState::Closed, "nor do they count as successes");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_gives_its_place_back() {
    let policy = Outbound { breaker: Some(brittle()), ..plain() };
    let binding = Scripted::failing(2, ErrorCode::Backend);
    let call = call_for(300 * SECOND);
    for _ in 0..2 {
        invoke(&policy, &binding, &call).await.expect_err("it failed");
    }
    tokio::time::advance(60 * SECOND).await;
    binding.acts.lock().push_back(Act::Hang(ErrorCode::Timeout));
    let dropped = tokio::time::timeout(SECOND, invoke(&policy, &binding, &call)).await;
    assert!(dropped.is_err() && binding.calls() == 3);
    invoke(&policy, &binding, &call).await.expect("the only place of the half-open breaker is free");
}

#[tokio::test(start_paused = true)]
async fn of_many_only_the_failed_ones_are_repeated_and_the_order_stays() {
    let fail = Act::Fail(ErrorCode::Unavailable);
    let refuse = Act::Fail(ErrorCode::InvalidRequest);
    let binding = Scripted::new([Act::Succeed, fail, refuse, fail, Act::Succeed, Act::Succeed, fail]);
    let requests = ["a", "b", "c", "d", "e"].map(Request::new).to_vec();
    let results = retrying(None).invoke_many(&binding, &call_for(30 * SECOND), requests).await;
    let shown: Vec<_> = results
        .into_iter()
        .map(|result| match result {
            Ok(reply) => String::from_utf8_lossy(reply.body.as_bytes().expect("bytes")).into_owned(),
            Err(error) => error.code().to_string(),
        })
        .collect();
    assert_eq!(shown, ["a", "b", "INVALID_REQUEST", "d", "e"]);
    assert_eq!(binding.bodies(), ["a", "b", "c", "d", "e", "b", "d", "d"]);
}

#[tokio::test(start_paused = true)]
async fn of_many_each_has_its_own_last_error() {
    let binding = Scripted::failing(99, ErrorCode::Unavailable);
    let requests = vec![Request::new("a"), Request::new("b")];
    let results = retrying(Some(1)).invoke_many(&binding, &call_for(30 * SECOND), requests).await;
    for result in results {
        assert_eq!(result.expect_err("it failed").message(), "told to; 2 attempts were made");
    }
    assert_eq!(binding.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_admits_and_counts_each_of_many() {
    let policy = Outbound { breaker: Some(brittle()), ..plain() };
    let call = call_for(300 * SECOND);
    let many = |count| vec![Request::new("x"); count];
    let codes = |results: Vec<Result<Reply>>| -> Vec<_> {
        results.into_iter().map(|result| result.err().map(|error| error.code())).collect()
    };
    let binding = Scripted::failing(2, ErrorCode::Backend);
    // All three pass together; the second failure opens it.
    let results = codes(policy.invoke_many(&binding, &call, many(3)).await);
    assert_eq!(results, [Some(ErrorCode::Backend), Some(ErrorCode::Backend), None]);
    let results = codes(policy.invoke_many(&binding, &call, many(2)).await);
    assert_eq!(results, [Some(ErrorCode::CircuitOpen); 2]);
    assert_eq!(binding.calls(), 3);
    tokio::time::advance(60 * SECOND).await;
    let results = codes(policy.invoke_many(&binding, &call, many(2)).await);
    assert_eq!(results, [None, Some(ErrorCode::CircuitOpen)], "half-open one passes");
    assert_eq!(codes(policy.invoke_many(&binding, &call, many(2)).await), [None, None]);
}

#[tokio::test(start_paused = true)]
async fn many_that_are_dropped_give_their_places_back() {
    let policy = Outbound { breaker: Some(brittle()), ..plain() };
    let breaker = policy.breaker.as_ref().expect("a breaker");
    for _ in 0..2 {
        breaker.admit(now()).expect("closed").failure(now());
    }
    tokio::time::advance(60 * SECOND).await;
    let binding = Scripted::new([Act::Hang(ErrorCode::Timeout)]);
    let call = call_for(300 * SECOND);
    let many = policy.invoke_many(&binding, &call, vec![Request::new("x")]);
    assert!(tokio::time::timeout(SECOND, many).await.is_err());
    assert!(breaker.admit(now()).is_ok());
}

#[test]
fn a_blocking_caller_can_wait_for_a_retry() {
    let runtime = crate::runtime::handle().expect("a runtime");
    let retry = Retry {
        backoff: Backoff { initial: SECOND / 100, ..Backoff::default() },
        ..Retry::constant(SECOND, None)
    };
    let policy = Outbound { retry: Some(retry), ..plain() };
    let binding = Scripted::failing(2, ErrorCode::Unavailable);
    let call = Call { operation: "create".into(), deadline: Instant::now() + 60 * SECOND };
    let invocation = policy.invoke(&binding, &call, Request::new("x"));
    let result = crate::runtime::block_on(&runtime, invocation, None, || false);
    result.expect("not interrupted").expect("the third attempt");
}
