//! Calls: what is recorded, and how they are answered.

use std::time::{Duration, Instant};

use bindwright::testing::{Answer, Ending, Sandbox, SandboxOptions, block_on};
use bindwright::{Body, Error, ErrorCode, Outcome, Reply, Request};

use crate::{Bench, PATIENCE, bodies, code, document, end, handle, invoke, memory, push};

#[test]
fn what_is_sent_is_recorded_in_its_order_and_answered_without_data() {
    let bench = Bench::new(&[memory("orders", ""), memory("audit", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    let request = Request::new("a").with("key", "1");
    let reply = client.invoke_binding_blocking("orders", "create", request.clone(), None, || false);
    assert_eq!(reply.expect("answered").body, Body::None);
    invoke(&client, "audit", "create", "b").expect("answered");
    invoke(&client, "orders", "purge", "c").expect("answered");
    let all = sandbox.invocations(None);
    let names: Vec<_> = all.iter().map(|one| (&*one.binding, &*one.operation, one.error)).collect();
    assert_eq!(names, [("orders", "create", None), ("audit", "create", None), ("orders", "purge", None)]);
    assert_eq!(all[0].request, request);
    assert_eq!(bodies(&sandbox, "orders"), [Body::from("a"), Body::from("c")]);
    sandbox.forget();
    assert!(sandbox.invocations(None).is_empty());
}

#[test]
fn a_type_of_this_build_keeps_its_operations_and_its_directions() {
    let bench = Bench::new(&[memory("orders", ""), memory("input", "{name: direction, value: input}")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    let error = invoke(&client, "orders", "get", "a").expect_err("unknown");
    assert_eq!(error.code(), ErrorCode::UnsupportedOperation);
    assert!(error.message().contains("create, size, purge"), "{error}");
    assert_eq!(code(invoke(&client, "input", "create", "a")), ErrorCode::UnsupportedDirection);
    assert_eq!(code(invoke(&client, "nowhere", "create", "a")), ErrorCode::ComponentNotFound);
    assert!(sandbox.invocations(None).is_empty(), "none of them got so far");
}

#[test]
fn a_type_that_this_build_does_not_have_takes_everything() {
    let bench = Bench::new(&[document("orders", "bindings.carrier.pigeon", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    invoke(&client, "orders", "release", "a").expect("answered");
    handle(&client, |_, _| Outcome::Ack);
    assert_eq!(end(&push(&sandbox, "b")), (Ending::Ack, 1));
    drop(sandbox);
    assert_eq!(code(invoke(&bench.client(), "orders", "release", "a")), ErrorCode::UnknownType);
}

#[test]
fn nothing_outside_is_needed_and_documents_are_checked_as_far_as_they_can_be() {
    let kafka = |name: &str, more: &str| {
        let settings = "{name: brokers, value: 'nowhere.invalid:1'}, {name: publishTopic, value: t}, \
                        {name: authType, value: none}";
        document(name, "bindings.kafka", &format!("{settings}{more}"))
    };
    let bench = Bench::new(&[
        kafka("plain", ""),
        kafka("secret", ", {name: saslPassword, secretKeyRef: {name: vault, key: password}}"),
        kafka("variable", ", {name: topics, envRef: NOBODY_SETS_THIS}"),
        kafka("wrong", ", {name: maxMessageBytes, value: 7}"),
    ]);
    let _sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    for name in ["plain", "secret", "variable"] {
        invoke(&client, name, "create", "a").expect(name);
    }
    assert_eq!(code(invoke(&client, "wrong", "create", "a")), ErrorCode::InvalidSettings);
    assert_eq!(client.faults().len(), 1, "{:?}", client.faults());
    let text = kafka("added", ", {name: caCert, secretKeyRef: {name: vault, key: ca}}");
    client.add_component(&text).expect("added");
    invoke(&client, "added", "create", "a").expect("answered");
}

#[test]
fn answers_go_by_operation_and_by_their_order() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    sandbox.answer("orders", Answer::body("always"));
    sandbox.answer("orders", Answer::body("of size").operation("size"));
    sandbox.answer("orders", Answer::body("first").times(1));
    sandbox.answer("orders", Answer::body("then").times(2).operation("create"));
    let answer = |operation| {
        let body = invoke(&client, "orders", operation, "x").expect("answered").body;
        String::from_utf8(body.as_bytes().expect("data").to_vec()).expect("text")
    };
    let operations = ["size", "size", "create", "create", "create"];
    assert_eq!(operations.map(answer), ["first", "of size", "then", "then", "always"]);
    sandbox.answer("orders", Answer::body("otherwise"));
    assert_eq!(["size", "purge"].map(answer), ["of size", "otherwise"], "the last one counts");
}

#[test]
fn a_function_answers_what_it_makes_of_the_call() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    sandbox.answer(
        "orders",
        Answer::function(|invocation| {
            if invocation.request.body == Body::from("bad") {
                return Err(Error::new(ErrorCode::InvalidRequest, "said the function"));
            }
            Ok(Reply { body: invocation.request.body.clone(), ..Reply::default() })
        }),
    );
    assert_eq!(invoke(&client, "orders", "create", "good").expect("answered").body, Body::from("good"));
    let error = invoke(&client, "orders", "create", "bad").expect_err("refused");
    assert_eq!((error.code(), error.component_name()), (ErrorCode::InvalidRequest, Some("orders")));
    let errors: Vec<_> = sandbox.invocations(None).iter().map(|one| one.error).collect();
    assert_eq!(errors, [None, Some(ErrorCode::InvalidRequest)]);
}

#[test]
fn failures_come_as_often_as_asked_and_can_be_retried_as_their_codes_say() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    for (failed, retriable) in
        [(ErrorCode::Unavailable, true), (ErrorCode::Timeout, true), (ErrorCode::OutcomeUnknown, false)]
    {
        sandbox.answer("orders", Answer::error(failed).times(1));
        let error = invoke(&client, "orders", "create", "a").expect_err("told to fail");
        assert_eq!((error.code(), error.retriable()), (failed, Some(retriable)));
    }
    invoke(&client, "orders", "create", "a").expect("no more failures");
}

/// Retries after pauses that no test has the time for.
fn policies(target: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nspec:\n  policies:\n    retries:\n      \
         rare: {{duration: 3h, maxRetries: 3}}\n  targets: {{components: {{orders: {target}}}}}\n---\n"
    )
}

#[test]
fn a_policy_retries_what_it_would_outside_without_its_pauses() {
    let bench = Bench::new(&[memory("orders", ""), policies("{outbound: {retry: rare}}")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    assert_eq!(
        client.block_on(client.components(), || false).expect("not interrupted").expect("components")[0]
            .retries
            .expect("sends")
            .attempts,
        Some(4)
    );
    sandbox.answer("orders", Answer::error(ErrorCode::Unavailable).times(2));
    invoke(&client, "orders", "create", "a").expect("the third attempt");
    let errors: Vec<_> = sandbox.invocations(None).iter().map(|one| one.error).collect();
    assert_eq!(errors, [Some(ErrorCode::Unavailable), Some(ErrorCode::Unavailable), None]);
    sandbox.forget();
    sandbox.answer("orders", Answer::error(ErrorCode::OutcomeUnknown).times(1));
    assert_eq!(code(invoke(&client, "orders", "create", "a")), ErrorCode::OutcomeUnknown);
    assert_eq!(sandbox.invocations(None).len(), 1, "it might do the work twice");
    sandbox.answer("orders", Answer::error(ErrorCode::Unavailable));
    let error = invoke(&client, "orders", "create", "a").expect_err("told to fail");
    assert!(error.message().contains("4 attempts were made"), "{error}");
}

#[test]
fn pauses_are_as_long_as_the_options_say() {
    let bench = Bench::new(&[memory("orders", ""), policies("{outbound: {retry: rare}}")]);
    let mut options = SandboxOptions::default();
    options.longest_pause = Duration::MAX;
    let sandbox = Sandbox::with(options).expect("open");
    sandbox.answer("orders", Answer::error(ErrorCode::Unavailable).times(1));
    let error = invoke(&bench.client(), "orders", "create", "a").expect_err("no time for another attempt");
    assert!(error.message().contains("no time for another"), "{error}");
}

#[test]
fn a_late_answer_ends_at_the_deadline() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    let call = || {
        let timeout = Some(Duration::from_millis(20));
        client.invoke_binding_blocking("orders", "create", Request::new("a"), timeout, || false)
    };
    let late = Duration::from_hours(1);
    sandbox.answer("orders", Answer::body("late").delay(late).times(1));
    assert_eq!(code(call()), ErrorCode::Timeout);
    sandbox.answer("orders", Answer::error(ErrorCode::OutcomeUnknown).delay(late).times(1));
    assert_eq!(code(call()), ErrorCode::OutcomeUnknown);
    let began = Instant::now();
    sandbox.answer("orders", Answer::body("in time").delay(Duration::from_millis(50)));
    invoke(&client, "orders", "create", "a").expect("in time");
    assert!(began.elapsed() >= Duration::from_millis(50));
}

#[test]
fn waiting_for_an_invocation_ends_with_it_or_tells_what_there_is_instead() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    std::thread::scope(|scope| {
        sandbox.answer("orders", Answer::body("").delay(Duration::from_millis(50)));
        scope.spawn(|| invoke(&client, "orders", "create", "a").expect("answered"));
        let waiting = sandbox.wait_for("orders", Some("create"), 1, PATIENCE);
        let found = block_on(waiting, || false).expect("not interrupted").expect("came");
        assert_eq!(found[0].request.body, Body::from("a"));
    });
    let waiting = sandbox.wait_for("oders", None, 2, Duration::from_millis(20));
    let error = block_on(waiting, || false).expect("not interrupted").expect_err("a slip");
    assert_eq!(error.code(), ErrorCode::Timeout);
    for part in ["0 of 2 invocations of oders", "orders.create 1", "components: orders"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
}

#[test]
fn a_caller_that_gives_up_is_told() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    sandbox.answer("orders", Answer::body("late").delay(Duration::from_hours(1)));
    let client = bench.client();
    let call = client.invoke_binding_blocking("orders", "create", Request::new("a"), None, || true);
    assert_eq!(code(call), ErrorCode::Cancelled);
    assert_eq!(sandbox.invocations(None)[0].error, Some(ErrorCode::Cancelled));
}
