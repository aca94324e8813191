//! The client beside a sidecar that answers as Dapr's does.

use std::sync::Arc;
use std::time::Duration;

use bindwright::component::Secret;
use bindwright::{Body, Client, ErrorCode, Outcome, Request, TransportKind};
use parking_lot::Mutex;

use super::daprd::{App, Daprd};
use super::fixture::{PATIENCE, free_port};
use super::way::{WAYS, protocol, to};

#[tokio::test(flavor = "multi_thread")]
async fn replies_are_what_the_component_answered() {
    let daprd = Daprd::start(None).await;
    for kind in WAYS {
        let client = Client::open(to(kind, daprd.address())).unwrap();
        let call =
            async |name: &str, request: Request| client.invoke_binding(name, "create", request, None).await;
        let reply = call("orders", Request::new(r#"{"a":1}"#).with("key", "v")).await.unwrap();
        assert_eq!(reply.body, Body::from(r#"{"a":1}"#));
        assert_eq!(reply.metadata.get("key").as_deref(), Some("v"), "{kind:?}: {:?}", reply.metadata);
        let reply = call("quiet", Request::new("1").with("key", "v")).await.unwrap();
        assert_eq!((reply.body, reply.metadata.get("key").as_deref()), (Body::None, Some("v")), "{kind:?}");
        // Dapr's HTTP has no way to send no bytes.
        let reply = call("orders", Request::default()).await.unwrap();
        let nothing = if kind == TransportKind::SidecarHttp { Body::from("null") } else { Body::None };
        assert_eq!(reply.body, nothing, "{kind:?}");
    }
    let grpc = Client::open(to(TransportKind::SidecarGrpc, daprd.address())).unwrap();
    let bytes = b"\x00\xff not JSON";
    let reply = grpc.invoke_binding("orders", "create", Request::new(bytes.to_vec()), None).await.unwrap();
    assert_eq!(reply.body, Body::from(bytes.to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_tell_the_code_and_nothing_is_guessed() {
    let daprd = Daprd::start(None).await;
    for kind in WAYS {
        let mut options = to(kind, daprd.address());
        options.sidecar.max_message_size = Some(16 << 20);
        let client = Client::open(options).unwrap();
        let large = format!("\"{}\"", "x".repeat(5 << 20));
        for (name, operation, data, code, retriable) in [
            ("nothing", "create", "1", ErrorCode::ComponentNotFound, Some(false)),
            ("orders", "get", "1", ErrorCode::UnsupportedOperation, Some(false)),
            ("orders", "", "1", ErrorCode::InvalidRequest, Some(false)),
            ("broken", "create", "1", ErrorCode::Backend, None),
            ("web", "create", "1", ErrorCode::Backend, None),
            ("orders", "create", &large, ErrorCode::PayloadTooLarge, Some(false)),
        ] {
            let request = Request::new(data.to_owned());
            let error = client.invoke_binding(name, operation, request, None).await.unwrap_err();
            assert_eq!((error.code(), error.retriable()), (code, retriable), "{kind:?}: {error}");
            assert_eq!((error.component_name(), error.operation_name()), (Some(name), Some(operation)));
            match name {
                "broken" => {
                    assert!(error.backend_text().unwrap().starts_with("kafka: "), "{kind:?}: {error}");
                }
                "web" => {
                    assert_eq!(
                        error.backend_status(),
                        Some(bindwright::Status::Http(404)),
                        "{kind:?}: {error}"
                    );
                    let told = error.reply_metadata().unwrap().get("statuscode");
                    assert_eq!(told.as_deref(), Some("404"), "{kind:?}");
                }
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_it_does_not_know_is_named_as_the_cause() {
    let daprd = Daprd::start(Some("right")).await;
    for kind in WAYS {
        for (token, fits) in [("", false), ("wrong", false), ("right", true)] {
            let mut options = to(kind, daprd.address());
            options.sidecar.token = Some(Secret::new(token));
            let client = Client::open(options).unwrap();
            let result = client.invoke_binding("orders", "create", Request::new("1"), None).await;
            match result {
                Ok(reply) => {
                    assert!(fits);
                    // Dapr takes the token away only where it asks for one.
                    assert_eq!(reply.metadata.get("dapr-api-token"), None);
                }
                Err(error) => {
                    assert!(!fits && error.code() == ErrorCode::Unauthenticated, "{kind:?}: {error}");
                    assert!(error.what_to_do().contains("DAPR_API_TOKEN"), "{error}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_components_are_the_bindings_among_them() {
    let daprd = Daprd::start(None).await;
    for kind in WAYS {
        let client = Client::open(to(kind, daprd.address())).unwrap();
        client.ready(PATIENCE).await.unwrap();
        let found = client.components().await.unwrap();
        let names: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.input, one.output)).collect();
        assert_eq!(names, [("orders", true, true), ("web", false, true)], "{kind:?}");
    }
}

/// A client that receives on a port.
fn receiving(kind: TransportKind, daprd: &Daprd, port: u16, token: &str) -> Client {
    let mut options = to(kind, daprd.address());
    options.sidecar.app_port = Some(port);
    options.sidecar.app_token = Some(Secret::new(token));
    Client::open(options).unwrap()
}

/// Those that nobody wants are asked for first: their answer may not keep the others waiting for too long.
const INPUTS: &[&str] = &["nobody", "nobody-either", "third", "second", "first"];

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_of_a_second_are_all_found_by_who_asks_once_and_at_once() {
    let daprd = Daprd::start(None).await;
    for kind in WAYS {
        let port = free_port();
        let client = receiving(kind, &daprd, port, "token");
        let asking = tokio::spawn(App::reached(protocol(kind), port, INPUTS));
        for name in ["first", "second", "third"] {
            client.on(name, |_| async { Outcome::Ack }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        let app = asking.await.unwrap();
        assert_eq!(app.wanted(), ["first", "second", "third"], "{kind:?}");
        client.close(PATIENCE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_answered_once_and_what_fails_is_told() {
    let daprd = Daprd::start(None).await;
    for kind in WAYS {
        let port = free_port();
        let client = receiving(kind, &daprd, port, "token");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        client
            .on("orders", move |event| {
                let body = event.body().as_bytes().unwrap().to_vec();
                assert_eq!((event.attempt(), event.binding()), (1, "orders"));
                noted.lock().push((body.clone(), event.metadata().clone()));
                async move {
                    match &body[..] {
                        b"retry" => Outcome::failed("NOT_YET", "come again"),
                        b"dead" => Outcome::DeadLetter { cause: None },
                        b"drop" => Outcome::Drop,
                        b"panic" => panic!("a handler of a test"),
                        b"emit" => Outcome::Emit(vec![emission("orders")]),
                        b"emit to nobody" => Outcome::Emit(vec![emission("nobody")]),
                        b"reply" => Outcome::Reply(Body::from("{\"a\": 1}")),
                        _ => Outcome::Ack,
                    }
                }
            })
            .await
            .unwrap();
        let mut app = App::reached(protocol(kind), port, &["orders"]).await;
        for (data, answer) in [
            (&b"ack"[..], Some("")),
            (b"", Some("")),
            (b"\x00\xff", Some("")),
            (b"drop", Some("")),
            (b"emit", Some("")),
            (b"reply", Some("{\"a\": 1}")),
            (b"retry", None),
            (b"dead", None),
            (b"panic", None),
            (b"emit to nobody", None),
            // The failures before it hold nothing up.
            (b"ack", Some("")),
        ] {
            let metadata = [("Readtimeutc", "now"), ("Timezone", "Local"), ("traceparent", "garbage")];
            let delivered =
                tokio::time::timeout(PATIENCE, app.deliver("orders", data, &metadata, Some("token"))).await;
            let delivered = delivered.unwrap();
            assert_eq!(
                delivered.as_deref().ok(),
                answer.map(str::as_bytes),
                "{kind:?} {data:?}: {delivered:?}"
            );
            let (body, given) = seen.lock().pop().unwrap();
            assert_eq!(body, data, "{kind:?}");
            let case = |name: &'static str| {
                if kind == TransportKind::SidecarHttp { name.to_lowercase() } else { name.to_owned() }
            };
            assert_eq!(given.get(&case("Timezone")).as_deref(), Some("Local"), "{kind:?}: {given:?}");
            assert_eq!((given.get("content-type"), given.get("dapr-api-token")), (None, None), "{kind:?}");
            assert!(seen.lock().is_empty(), "{kind:?} {data:?}: delivered twice");
        }
        for token in [None, Some("wrong")] {
            let refused = app.deliver("orders", b"ack", &[], token).await.unwrap_err();
            assert!(refused.contains("token"), "{kind:?}: {refused}");
            assert!(seen.lock().is_empty(), "{kind:?}: handled all the same");
        }
        client.close(PATIENCE).await.unwrap();
    }
}

fn emission(binding: &str) -> bindwright::Emission {
    bindwright::Emission {
        binding: binding.to_owned(),
        operation: "create".to_owned(),
        request: Request::new("17"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_sidecar_gives_up_is_taken_back() {
    let daprd = Daprd::start(None).await;
    for kind in WAYS {
        let port = free_port();
        let client = receiving(kind, &daprd, port, "token");
        let subscription = client.subscribe("orders", bindwright::HandOut::Freely).await.unwrap();
        let mut app = App::reached(protocol(kind), port, &["orders"]).await;
        let patience = Duration::from_millis(300);
        tokio::time::timeout(patience, app.deliver("orders", b"1", &[], Some("token"))).await.unwrap_err();
        let event = subscription.next_batch(1, Some(PATIENCE)).await.unwrap();
        // It was handed to nobody, or what its handler says does not count any more.
        for event in &event {
            super::fixture::until("it is taken back", || async { !event.is_current() }).await;
            assert_eq!(subscription.settle(&[(event.token(), Outcome::Ack)]), 0, "{kind:?}");
        }
        client.close(Duration::from_secs(1)).await.unwrap();
    }
}
