//! Events that `bindwright serve` delivers to a client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bindwright::component::Secret;
use bindwright::{Body, Client, Emission, Error, ErrorCode, Event, Outcome, Request, TransportKind};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::components::{Note, fixture};
use super::fixture::{Fixture, PATIENCE, Running, free_port, until};
use super::way::{self, WAYS, protocol};

/// A server that delivers to a port, and a client that opens it.
async fn pair(kind: TransportKind, fixture: Fixture) -> (Running, Client, u16) {
    let port = free_port();
    let server =
        fixture.flags(&["--app-port", &port.to_string(), "--app-protocol", protocol(kind)]).start().await;
    let mut options = way::options(kind, &server);
    options.sidecar.app_port = Some(port);
    (server, Client::open(options).unwrap(), port)
}

async fn send(client: &Client, queue: &str, text: &str) {
    client
        .invoke_binding(queue, "create", Request::new(text.to_owned()).with("key", "v"), None)
        .await
        .unwrap();
}

/// Notes the data of every event, and answers as the test says.
fn noted(seen: &Arc<Mutex<Vec<(String, u32)>>>) -> impl Fn(&Event) + Send + Sync + 'static + use<> {
    let seen = seen.clone();
    move |event| {
        let text = String::from_utf8(event.body().as_bytes().unwrap().to_vec()).unwrap();
        seen.lock().push((text, event.attempt()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_again_until_they_are_handled() {
    for kind in WAYS {
        let fixture = fixture();
        fixture.queue("orders", &[]);
        let (server, client, _) = pair(kind, fixture).await;
        let seen = Arc::default();
        let (note, count) = (noted(&seen), AtomicU32::new(0));
        client
            .on("orders", move |event| {
                note(&event);
                assert_eq!(event.binding(), "orders");
                let outcome = match count.fetch_add(1, Ordering::SeqCst) {
                    0 => Outcome::RETRY,
                    1 => Outcome::failed("MINE", "not yet"),
                    2 => panic!("a handler of a test"),
                    3 => Outcome::Ack,
                    _ => Outcome::Drop,
                };
                async move { outcome }
            })
            .await
            .unwrap();
        send(&client, "orders", "1").await;
        send(&client, "orders", "2").await;
        until("both came", || async { seen.lock().len() == 5 }).await;
        until("both are settled", || async { server.size("orders").await == 0 }).await;
        let texts: Vec<_> = seen.lock().iter().map(|(text, _)| text.clone()).collect();
        assert_eq!(texts, ["1", "1", "1", "1", "2"], "{kind:?}");
        client.close(PATIENCE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_from_an_event_is_sent_before_it_is_settled() {
    for kind in WAYS {
        let fixture = fixture();
        fixture.queue("orders", &[]);
        let (server, client, _) = pair(kind, fixture).await;
        let name = format!("emitted {}", kind.as_str());
        let note = Note::of(&name);
        let emission = Emission {
            binding: "odd".to_owned(),
            operation: "create".to_owned(),
            request: Request::new("17").with("note", name.clone()).with("pause", "100"),
        };
        client
            .on("orders", move |_| {
                let emission = emission.clone();
                async move { Outcome::Emit(vec![emission]) }
            })
            .await
            .unwrap();
        send(&client, "orders", "1").await;
        until("it is settled", || async { server.size("orders").await == 0 }).await;
        assert_eq!(*note.data.lock(), [b"17"], "{kind:?}");
        client.close(PATIENCE).await.unwrap();
    }
}

/// An application in another language would ask for outputs by it.
const REPLY: &str = "{\"to\": [\"nobody\"], \"data\": 1}";

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_reaches_whoever_asked() {
    for kind in WAYS {
        let fixture = fixture();
        let name = format!("replied {}", kind.as_str());
        fixture.component("asker", "bindings.test.asker", &[("note", &name)], "");
        let (_server, client, _) = pair(kind, fixture).await;
        client.on("asker", |_| async { Outcome::Reply(Body::from(REPLY)) }).await.unwrap();
        let note = Note::of(&name);
        until("it was answered", || async { !note.data.lock().is_empty() }).await;
        assert_eq!(*note.data.lock(), [REPLY.as_bytes()], "{kind:?}");
        client.close(PATIENCE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_the_right_token_is_refused() {
    for kind in WAYS {
        for (shown, expected) in [(Some("right"), true), (Some("wrong"), false), (None, false)] {
            let fixture = fixture();
            fixture.queue("orders", &[]);
            let fixture = match shown {
                Some(token) => fixture.app_token(token),
                None => fixture,
            };
            let port = free_port();
            let flags = ["--app-port", &port.to_string(), "--app-protocol", protocol(kind)];
            let server = fixture.flags(&flags).start().await;
            let mut options = way::options(kind, &server);
            options.sidecar.app_port = Some(port);
            options.sidecar.app_token = Some(Secret::new("right"));
            let client = Client::open(options).unwrap();
            let seen = Arc::default();
            let note = noted(&seen);
            client
                .on("orders", move |event| {
                    note(&event);
                    async { Outcome::Ack }
                })
                .await
                .unwrap();
            send(&client, "orders", "1").await;
            if expected {
                until("it came", || async { server.size("orders").await == 0 }).await;
            } else {
                // Long enough for several deliveries: the queue's pause is 20 ms.
                tokio::time::sleep(Duration::from_millis(700)).await;
                assert_eq!((server.size("orders").await, seen.lock().len()), (1, 0), "{kind:?} {shown:?}");
            }
            client.close(Duration::from_secs(1)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_an_event_that_is_refused_goes_on_or_says_that_it_ends() {
    let fixture = fixture();
    fixture.queue("orders", &[]);
    let server = fixture.start().await;
    let mut options = way::options(TransportKind::SidecarHttp, &server);
    let port = free_port();
    options.sidecar.app_port = Some(port);
    options.sidecar.max_message_size = Some(1024);
    let client = Client::open(options).unwrap();
    client.on("orders", |_| async { Outcome::Ack }).await.unwrap();
    // Beyond 256 KiB, what is refused is not read any more.
    for (size, goes_on) in [(20_000, true), (1 << 20, false)] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let head = format!("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        let next = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let mut told = Vec::new();
        let send = async {
            // It may hang up in between.
            let _ = writing.write_all(&[head.as_bytes(), &vec![b'x'; size], next.as_bytes()].concat()).await;
        };
        let both = async { tokio::join!(send, reading.read_to_end(&mut told)) };
        let _ = tokio::time::timeout(PATIENCE, both).await.expect("the client hangs up");
        let told = String::from_utf8_lossy(&told).to_lowercase();
        let (refused, rest) = told.split_once("the event is larger than 1024 bytes").expect(&told);
        assert!(refused.starts_with("http/1.1 413 "), "{told}");
        assert_eq!(refused.contains("connection: close"), !goes_on, "{told}");
        assert_eq!(rest.starts_with("http/1.1 200 "), goes_on, "{told}");
    }
    client.close(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_needed_and_belongs_to_one_client() {
    for kind in WAYS {
        let fixture = fixture();
        fixture.queue("orders", &[]);
        let (server, client, port) = pair(kind, fixture).await;
        let refused = |client: Client| async move {
            let error: Error = client.on("orders", |_| async { Outcome::Ack }).await.unwrap_err();
            assert_eq!((error.code(), error.component_name()), (ErrorCode::InvalidOptions, Some("orders")));
            error
        };
        let mut options = way::options(kind, &server);
        options.sidecar.app_port = None;
        let error = refused(Client::open(options.clone()).unwrap()).await;
        assert!(error.what_to_do().contains("APP_PORT"), "{error}");
        client.on("orders", |_| async { Outcome::Ack }).await.unwrap();
        options.sidecar.app_port = Some(port);
        let second = Client::open(options).unwrap();
        let error = refused(second.clone()).await;
        assert!(error.to_string().contains(&port.to_string()), "{error}");
        // It can call all the same; and has the port when the first one is closed.
        send(&second, "orders", "1").await;
        client.close(PATIENCE).await.unwrap();
        second.on("orders", |_| async { Outcome::Ack }).await.unwrap();
        second.close(PATIENCE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_waits_for_handlers_and_takes_nothing_more() {
    for kind in WAYS {
        let fixture = fixture();
        fixture.queue("orders", &[]);
        let (server, client, port) = pair(kind, fixture).await;
        let (begun, ended) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (b, e) = (begun.clone(), ended.clone());
        client
            .on("orders", move |_| {
                let (b, e) = (b.clone(), e.clone());
                async move {
                    b.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    e.fetch_add(1, Ordering::SeqCst);
                    Outcome::Ack
                }
            })
            .await
            .unwrap();
        for text in ["1", "2", "3"] {
            send(&client, "orders", text).await;
        }
        until("a handler began", || async { begun.load(Ordering::SeqCst) > 0 }).await;
        client.close(PATIENCE).await.unwrap();
        let handled = ended.load(Ordering::SeqCst);
        assert_eq!(begun.load(Ordering::SeqCst), handled, "{kind:?}");
        assert!((1..3).contains(&handled), "{kind:?}: {handled}");
        until("what was handled is settled", || async {
            server.size("orders").await == u64::from(3 - handled)
        })
        .await;
        // The port is free.
        std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_handler_had_while_a_program_closes_is_no_failure() {
    for kind in WAYS {
        let fixture = fixture();
        let limits = [("partitions", "8"), ("maxDeliveryCount", "3"), ("deadLetterBinding", "letters")];
        fixture.queue("orders", &limits);
        fixture.queue("letters", &[]);
        let (server, client, port) = pair(kind, fixture).await;
        let begun = Arc::new(AtomicU32::new(0));
        let b = begun.clone();
        client
            .on("orders", move |_| {
                let b = b.clone();
                async move {
                    b.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_secs(3)).await;
                    Outcome::Ack
                }
            })
            .await
            .unwrap();
        send(&client, "orders", "0").await;
        until("a handler began", || async { begun.load(Ordering::SeqCst) > 0 }).await;
        let closing = tokio::spawn({
            let client = client.clone();
            async move { client.close(PATIENCE).await }
        });
        // Closing has begun, and while that handler goes on the port is open.
        tokio::time::sleep(Duration::from_millis(300)).await;
        for number in 1..9 {
            let data = format!(
                r#"{{"operation":"create","data":"{number}","metadata":{{"partitionKey":"{number}"}}}}"#
            );
            assert!(server.invoke("orders", data).await.status.is_success());
        }
        closing.await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
        let mut options = way::options(kind, &server);
        options.sidecar.app_port = Some(port);
        let next = Client::open(options).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = noted(&seen);
        next.on("orders", move |event| {
            note(&event);
            async { Outcome::Ack }
        })
        .await
        .unwrap();
        until("all are settled", || async { server.size("orders").await == 0 }).await;
        assert_eq!(server.size("letters").await, 0, "{kind:?}");
        // One that was on its way when the connection ended may have failed: of it nobody knows who had it.
        assert!(seen.lock().iter().all(|(_, attempt)| *attempt <= 2), "{kind:?}: {seen:?}");
        next.close(PATIENCE).await.unwrap();
    }
}
