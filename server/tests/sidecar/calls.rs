//! Calls through `bindwright serve`: what comes back, and what is refused.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bindwright::component::Secret;
use bindwright::{Body, Client, ErrorCode, Reply, Request, Result, TransportKind};
use futures_util::future::join_all;

use super::components::{Note, fixture};
use super::fixture::{Fixture, PATIENCE, until};
use super::way::{self, WAYS, open};

/// For these the server says what Dapr says, whatever the component says.
const DAPRS_WORDS: [ErrorCode; 3] =
    [ErrorCode::ComponentNotFound, ErrorCode::UnsupportedDirection, ErrorCode::UnsupportedOperation];

async fn call(client: &Client, name: &str, operation: &str, request: Request) -> Result<Reply> {
    client.invoke_binding(name, operation, request, None).await
}

/// An operation of the component `odd`, which takes everything from metadata.
fn told(entries: &[(&str, &str)]) -> Request {
    entries.iter().fold(Request::default(), |request, (name, value)| {
        request.with((*name).to_owned(), (*value).to_owned())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn data_and_metadata_go_there_and_come_back() {
    let server = fixture().start().await;
    for kind in WAYS {
        let client = open(kind, &server);
        assert_eq!(client.transport(), kind);
        let request = Request::new(r#"{"a":1}"#).with("key", "v").with("Key-2", "täxt");
        let reply = call(&client, "echo", "create", request).await.unwrap();
        assert_eq!(reply.body, Body::from(r#"{"a":1}"#));
        let name = if kind == TransportKind::SidecarHttp { "key-2" } else { "Key-2" };
        assert_eq!(reply.metadata.get("key").as_deref(), Some("v"), "{kind:?}");
        assert_eq!(reply.metadata.get(name).as_deref(), Some("täxt"), "{kind:?}");
        for body in [Body::None, Body::empty()] {
            let reply =
                call(&client, "echo", "create", Request { body, ..Request::default() }).await.unwrap();
            // Dapr's HTTP has no way to send no bytes.
            let nothing = if kind == TransportKind::SidecarHttp { Body::from("null") } else { Body::None };
            assert_eq!(reply.body, nothing, "{kind:?}");
        }
        client.close(PATIENCE).await.unwrap();
        assert_eq!(
            call(&client, "echo", "create", Request::default()).await.unwrap_err().code(),
            ErrorCode::Closed
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_arrive_as_they_are_over_grpc_and_are_refused_over_http() {
    let server = fixture().start().await;
    let grpc = open(TransportKind::SidecarGrpc, &server);
    let http = open(TransportKind::SidecarHttp, &server);
    for bytes in [&b"\x00\xff{"[..], b"text", b"{\"b\":1, \"a\":2}"] {
        let reply = call(&grpc, "echo", "create", Request::new(bytes.to_vec())).await.unwrap();
        assert_eq!(reply.body, Body::from(bytes.to_vec()));
        let note = Note::of("refused");
        let request = Request::new(bytes.to_vec()).with("note", "refused");
        let error = call(&http, "odd", "create", request).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRequest);
        assert!(error.what_to_do().contains("sidecar-grpc"), "{error}");
        assert!(note.data.lock().is_empty(), "it was sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_those_of_the_server() {
    let server = fixture().start().await;
    for kind in WAYS {
        let client = open(kind, &server);
        let error = call(&client, "nothing", "create", Request::default()).await.unwrap_err();
        assert_eq!((error.code(), error.component_name()), (ErrorCode::ComponentNotFound, Some("nothing")));
        let error = call(&client, "echo", "get", Request::default()).await.unwrap_err();
        assert_eq!((error.code(), error.operation_name()), (ErrorCode::UnsupportedOperation, Some("get")));
        let error = call(&client, "echo", "", Request::default()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRequest);
        let error = call(&client, "echo", "status", told(&[("why", "so")])).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Backend);
        assert_eq!(error.backend_status(), Some(bindwright::Status::Http(404)));
        assert_eq!(error.reply_metadata().unwrap().get("why").as_deref(), Some("so"), "{kind:?}");
        for code in ErrorCode::ALL {
            let error = call(&client, "odd", "code", told(&[("code", code.as_str())])).await.unwrap_err();
            let embedded = bindwright::Error::new(*code, "");
            assert_eq!((error.code(), error.retriable()), (*code, embedded.retriable()), "{kind:?}: {error}");
            if DAPRS_WORDS.contains(code) {
                continue;
            }
            assert!(error.message().starts_with("as it was told"), "{kind:?}: {}", error.message());
            assert!(error.to_string().matches("the backend's words").count() == 1, "{kind:?}: {error}");
            assert_eq!(error.what_to_do(), code.advice(), "{kind:?}");
            assert_eq!((error.component_name(), error.operation_name()), (Some("odd"), Some("code")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_asked_for() {
    let server = fixture().api_token("right").start().await;
    for kind in WAYS {
        for (token, fits) in [(None, false), (Some("wrong"), false), (Some("right"), true)] {
            let mut options = way::options(kind, &server);
            // An empty one keeps the environment out.
            options.sidecar.token = Some(Secret::new(token.unwrap_or_default()));
            let client = Client::open(options).unwrap();
            let called = call(&client, "echo", "create", Request::new("1")).await;
            let asked = client.components().await;
            let code = (!fits).then_some(ErrorCode::Unauthenticated);
            assert_eq!(called.err().map(|error| error.code()), code, "{kind:?} {token:?}");
            assert_eq!(asked.err().map(|error| error.code()), code, "{kind:?} {token:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn components_are_those_of_the_server() {
    let fixture = fixture();
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    for kind in WAYS {
        let client = open(kind, &server);
        client.ready(PATIENCE).await.unwrap();
        let found = client.components().await.unwrap();
        let names: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.input, one.output)).collect();
        assert_eq!(names, [("echo", false, true), ("odd", false, true), ("orders", true, true)], "{kind:?}");
        assert_eq!(found[2].component_type, "bindings.memory");
        assert!(client.faults().is_empty());
        assert_eq!(client.reload().await.unwrap_err().code(), ErrorCode::InvalidOptions);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_over_the_limit_are_refused_on_either_side_and_in_both_directions() {
    let server = Fixture::flags(fixture(), &["--max-body-size", "64Ki"]).start().await;
    for kind in WAYS {
        let limited = |most| {
            let mut options = way::options(kind, &server);
            options.sidecar.max_message_size = most;
            Client::open(options).unwrap()
        };
        let data = |size: usize| Request::new(format!("\"{}\"", "x".repeat(size)));
        let (usual, small, large) = (limited(None), limited(Some(1_000)), limited(Some(16 << 20)));
        // By the client, by the server.
        for client in [&small, &usual] {
            let error = call(client, "echo", "create", data(100_000)).await.unwrap_err();
            assert_eq!(
                (error.code(), error.retriable()),
                (ErrorCode::PayloadTooLarge, Some(false)),
                "{kind:?}: {error}"
            );
        }
        call(&usual, "echo", "create", data(60_000)).await.unwrap();
        // The answer: the call itself was made.
        for (client, size, fits) in [
            (&small, "2000", false),
            (&usual, "60000", true),
            (&usual, "5000000", false),
            (&large, "5000000", true),
        ] {
            let reply = call(client, "odd", "large", told(&[("size", size)])).await;
            // What the server's own limit says about answers over gRPC is its own affair.
            match reply {
                Ok(reply) => assert_eq!(
                    (reply.body.as_bytes().unwrap().len().to_string().as_str(), fits),
                    (size, true)
                ),
                Err(error) => {
                    assert_eq!(error.code(), ErrorCode::PayloadTooLarge, "{kind:?} {size}: {error}");
                    assert!(!fits || kind == TransportKind::SidecarGrpc, "{kind:?} {size}: {error}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_dropped_or_late_ends_at_the_server() {
    let server = fixture().start().await;
    for kind in WAYS {
        let client = open(kind, &server);
        let name = format!("dropped {}", kind.as_str());
        let note = Note::of(&name);
        let waits = |count| {
            let note = note.clone();
            async move { note.waiting.load(Ordering::SeqCst) == count }
        };
        let task = tokio::spawn({
            let (client, request) = (client.clone(), told(&[("note", &name)]));
            async move { call(&client, "odd", "wait", request).await }
        });
        until("the call came", || waits(1)).await;
        task.abort();
        until("the dropped call ended", || waits(0)).await;
        let began = Instant::now();
        let timeout = Duration::from_millis(300);
        let late =
            client.invoke_binding("odd", "wait", told(&[("note", &name)]), Some(timeout)).await.unwrap_err();
        assert_eq!(
            (late.code(), late.retriable()),
            (ErrorCode::OutcomeUnknown, Some(false)),
            "{kind:?}: {late}"
        );
        assert!(began.elapsed() >= timeout && began.elapsed() < PATIENCE / 2);
        until("the late call ended", || waits(0)).await;
        // The connection, or another one, still works.
        call(&client, "echo", "create", Request::new("1")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_at_once_get_their_own_answers() {
    let server = fixture().start().await;
    for kind in WAYS {
        let client = open(kind, &server);
        let calls = (0..1_000).map(|number| {
            call(&client, "odd", "create", Request::new(number.to_string()).with("pause", "20"))
        });
        for (number, reply) in join_all(calls).await.into_iter().enumerate() {
            assert_eq!(reply.unwrap().body, Body::from(number.to_string()), "{kind:?}");
        }
        let requests: Vec<_> = (0..1_000).map(|number: u32| Request::new(number.to_string())).collect();
        let replies = client.invoke_many("echo", "create", requests, None).await.unwrap();
        for (number, reply) in replies.into_iter().enumerate() {
            assert_eq!(reply.unwrap().body, Body::from(number.to_string()), "{kind:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_call_goes_along() {
    let server = fixture().start().await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for kind in WAYS {
        let name = format!("trace {}", kind.as_str());
        let request =
            told(&[("note", &name), ("traceparent", parent), ("tracestate", "a=b"), ("baggage", "c=d")]);
        call(&open(kind, &server), "odd", "create", request).await.unwrap();
        let metadata = Note::of(&name).metadata.lock().clone();
        let given = metadata.get("traceparent").unwrap();
        assert_eq!(&given[..36], &parent[..36], "{kind:?}");
        assert_eq!(metadata.get("baggage").as_deref(), Some("c=d"), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_call_goes_along() {
    let server = fixture().start().await;
    for kind in WAYS {
        let client = open(kind, &server);
        for seconds in [20, 100] {
            let time = Some(Duration::from_secs(seconds));
            let reply = client.invoke_binding("odd", "left", Request::default(), time).await.unwrap();
            let left: u64 = String::from_utf8_lossy(reply.body.as_bytes().unwrap()).parse().unwrap();
            assert!((seconds - 10..=seconds).contains(&left), "{kind:?}: {left} of {seconds}");
        }
    }
}
