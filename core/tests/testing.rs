//! The test kit, as tests of Rust programs use it. A sandbox is for the whole process, so these tests take turns.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bindwright::testing::{Answer, Ending, PushedEvent, Sandbox, SandboxOptions, block_on};
use bindwright::{
    Body, Client, ClientOptions, Emission, Error, ErrorCode, HandOut, Metadata, Outcome, Reply, Request,
    Result,
};
use parking_lot::{Mutex, MutexGuard};

const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough to fail a test that waits for it.
const HOURS: &str = "3h";

static TURN: Mutex<()> = Mutex::new(());

/// A folder of documents, and the turn to use a sandbox.
struct Bench {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

fn document(name: &str, kind: &str, settings: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\n\
         spec: {{type: {kind}, version: v1, metadata: [{settings}]}}\n---\n"
    )
}

fn memory(name: &str, settings: &str) -> String {
    document(name, "bindings.memory", settings)
}

impl Bench {
    fn new(documents: &[String]) -> Self {
        let turn = TURN.lock();
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("a.yaml"), documents.concat()).expect("written");
        Self { folder, _turn: turn }
    }

    fn client(&self) -> Client {
        open(self.folder.path())
    }
}

fn open(folder: &Path) -> Client {
    let resources = Some(vec![folder.to_owned()]);
    Client::open(ClientOptions { resources, ..ClientOptions::default() }).expect("opened")
}

fn invoke(client: &Client, name: &str, operation: &str, body: &'static str) -> Result<Reply> {
    client.invoke_binding_blocking(name, operation, Request::new(body), Some(PATIENCE), || false)
}

fn bodies(sandbox: &Sandbox, binding: &str) -> Vec<Body> {
    sandbox.invocations(Some(binding)).into_iter().map(|one| one.request.body).collect()
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> ErrorCode {
    result.expect_err("an error").code()
}

/// Handles the events of `orders` until the client is closed.
fn handle(client: &Client, handler: impl Fn(&str, u32) -> Outcome + Send + Sync + 'static) {
    let handler = Arc::new(handler);
    let on = client.on("orders", move |event| {
        let handler = handler.clone();
        async move {
            let body = event.body().as_bytes().cloned().unwrap_or_default();
            handler(std::str::from_utf8(&body).expect("text"), event.attempt())
        }
    });
    client.block_on(on, || false).expect("not interrupted").expect("subscribed");
}

fn push(sandbox: &Sandbox, body: &'static str) -> PushedEvent {
    sandbox.push("orders", body, Metadata::new(), None).expect("pushed")
}

/// How the event ended, and after how many deliveries.
fn end(pushed: &PushedEvent) -> (Ending, u32) {
    let progress = block_on(pushed.ended(PATIENCE), || false).expect("not interrupted").expect("ended");
    (progress.ending.expect("ended"), progress.deliveries)
}

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

/// Retries for ever, after hours each.
fn policies(target: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nspec:\n  policies:\n    retries:\n      \
         rare: {{duration: {HOURS}, maxRetries: 3}}\n  targets: {{components: {{orders: {target}}}}}\n---\n"
    )
}

#[test]
fn a_policy_retries_what_it_would_outside_without_its_pauses() {
    let bench = Bench::new(&[memory("orders", ""), policies("{outbound: {retry: rare}}")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    assert_eq!(client.components()[0].retries.expect("sends").attempts, Some(4));
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

#[test]
fn every_outcome_is_told_with_its_deliveries() {
    let dead = "{name: deadLetterBinding, value: dead}, {name: maxDeliveryCount, value: 3}";
    let bench = Bench::new(&[memory("orders", dead), memory("dead", ""), memory("out", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    handle(&client, |body, attempt| match body {
        "drop" => Outcome::Drop,
        "again" if attempt == 1 => Outcome::retry_after(Duration::from_hours(1)),
        "ack" | "again" => Outcome::Ack,
        "poison" => Outcome::failed("Poison", "never works"),
        "hopeless" => Outcome::DeadLetter { cause: None },
        _ => Outcome::Emit(vec![Emission {
            binding: "out".to_owned(),
            operation: "create".to_owned(),
            request: Request::new("follows"),
        }]),
    });
    let ends = ["ack", "drop", "again", "poison", "hopeless", "emit"].map(|body| {
        let pushed = push(&sandbox, body);
        end(&pushed)
    });
    let expected = [
        (Ending::Ack, 1),
        (Ending::Drop, 1),
        (Ending::Ack, 2),
        (Ending::DeadLetter, 3),
        (Ending::DeadLetter, 1),
        (Ending::Emit, 1),
    ];
    assert_eq!(ends, expected);
    assert_eq!(bodies(&sandbox, "dead"), [Body::from("poison"), Body::from("hopeless")]);
    let metadata = &sandbox.invocations(Some("dead"))[0].request.metadata;
    assert_eq!(metadata.get("deadLetterCause").as_deref(), Some("never works"));
    assert_eq!(bodies(&sandbox, "out"), [Body::from("follows")]);
}

#[test]
fn an_event_without_a_way_out_holds_its_place() {
    let bench = Bench::new(&[memory("orders", "{name: maxDeliveryCount, value: 2}")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    handle(&client, |_, _| Outcome::failed("Poison", "never works"));
    let (poison, after) = (push(&sandbox, "poison"), push(&sandbox, "after"));
    assert_eq!(end(&poison), (Ending::Held, 2));
    let cause = poison.progress().cause.expect("a cause");
    assert_eq!((cause.code.as_str(), cause.text.as_str()), ("Poison", "never works"));
    assert_eq!((after.progress().deliveries, after.progress().ending), (0, None));
    assert_eq!(client.components()[0].error.clone().expect("held").code(), ErrorCode::EventBlocked);
}

#[test]
fn a_refused_emission_is_a_failed_delivery() {
    let bench = Bench::new(&[memory("orders", ""), memory("out", "")]);
    let sandbox = Sandbox::open().expect("open");
    sandbox.answer("out", Answer::error(ErrorCode::Unavailable).times(1));
    handle(&bench.client(), |_, _| {
        let request = Request::new("follows");
        Outcome::Emit(vec![Emission { binding: "out".to_owned(), operation: "create".to_owned(), request }])
    });
    assert_eq!(end(&push(&sandbox, "a")), (Ending::Emit, 2));
}

#[test]
fn an_event_that_fails_for_ever_is_told_by_its_deliveries() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    let pushed = push(&sandbox, "a");
    let early = block_on(pushed.ended(Duration::from_millis(10)), || false).expect("not interrupted");
    assert!(early.expect_err("nobody").message().contains("nothing subscribed"));
    handle(&client, |_, _| Outcome::failed("Poison", "never works"));
    let progress = block_on(pushed.delivered(3, PATIENCE), || false).expect("not interrupted");
    assert!(progress.expect("delivered").deliveries >= 3);
    let late = block_on(pushed.ended(Duration::from_millis(10)), || false).expect("not interrupted");
    assert!(late.expect_err("never").message().contains("the last with Poison: never works"));
}

#[test]
fn pushed_events_keep_the_order_that_their_component_asks_for() {
    let bench = Bench::new(&[memory("orders", "{name: orderBy, value: key}")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    handle(&client, |body, _| if body == "bad" { Outcome::RETRY } else { Outcome::Ack });
    let metadata: Metadata = [("source", "test")].into_iter().collect();
    let push = |body, key| sandbox.push("orders", body, metadata.clone(), Some(key)).expect("pushed");
    let (_bad, behind, beside) = (push("bad", "a"), push("good", "a"), push("good", "b"));
    assert_eq!(end(&beside), (Ending::Ack, 1));
    assert_eq!(behind.progress().deliveries, 0, "it waits for the one before");
}

#[test]
fn body_and_metadata_of_a_pushed_event_arrive_as_given() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    let client = bench.client();
    let metadata: Metadata = [("__offset", "7")].into_iter().collect();
    sandbox.push("orders", Body::None, metadata.clone(), Some("k")).expect("pushed");
    let event = client.block_on(
        async {
            let subscription = client.subscribe("orders", HandOut::Freely).await.expect("subscribed");
            subscription.next().await.expect("an event")
        },
        || false,
    );
    let event = event.expect("not interrupted");
    assert_eq!((event.body(), event.metadata(), event.binding()), (&Body::None, &metadata, "orders"));
}

#[test]
fn there_is_one_sandbox_at_a_time() {
    let _bench = Bench::new(&[]);
    let first = Sandbox::open().expect("open");
    let error = Sandbox::open().expect_err("the second");
    assert_eq!(error.code(), ErrorCode::InvalidOptions);
    assert!(error.message().contains("there is a sandbox"), "{error}");
    drop(first);
    Sandbox::open().expect("the first has ended");
}

#[test]
fn clients_keep_what_they_were_opened_with() {
    let bench = Bench::new(&[memory("orders", "")]);
    let before = bench.client();
    let sandbox = Sandbox::open().expect("open");
    let inside = bench.client();
    let size = |client: &Client| invoke(client, "orders", "size", "").expect("answered").body;
    assert_eq!(size(&before), Body::from("0"), "a real one");
    assert_eq!(size(&inside), Body::None, "a fake");
    assert_eq!(sandbox.invocations(None).len(), 1);
    drop(sandbox);
    assert_eq!(code(invoke(&inside, "orders", "size", "")), ErrorCode::Closed);
    assert_eq!(size(&bench.client()), Body::from("0"), "a real one again");
    let next = Sandbox::open().expect("open");
    assert_eq!(code(invoke(&inside, "orders", "size", "")), ErrorCode::Closed, "not of the next sandbox");
    assert_eq!(size(&bench.client()), Body::None, "a fake");
    assert_eq!(next.invocations(None).len(), 1);
}

#[test]
fn who_waits_hears_of_the_end() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    let pushed = push(&sandbox, "a");
    let client = bench.client();
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| client.block_on(pushed.ended(PATIENCE), || false).expect("not interrupted"));
        sandbox.end();
        assert_eq!(code(waiting.join().expect("no panic")), ErrorCode::Closed);
    });
    assert_eq!(code(sandbox.push("orders", "b", Metadata::new(), None)), ErrorCode::Closed);
}
