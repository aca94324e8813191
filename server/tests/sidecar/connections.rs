//! How a client finds its sidecar, and what it makes of one that is away, silent, cut off or not trusted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bindwright::{Body, Client, ErrorCode, Request, TransportKind};
use bindwright_server::{Server, open_client};

use super::certificates::{Authority, Valid};
use super::components::{Note, fixture};
use super::fixture::{Fixture, PATIENCE, Running, free_port};
use super::gate::{Gate, address};
use super::way::{self, WAYS, to};

const SHORT: Duration = Duration::from_secs(1);

fn base(kind: TransportKind, server: &Running) -> &str {
    if kind == TransportKind::SidecarHttp { &server.base } else { &server.grpc }
}

/// Asks for an answer, and gets it.
async fn check(client: &Client) {
    let reply = client.invoke_binding("echo", "create", Request::new("17"), None).await.unwrap();
    assert_eq!(reply.body, Body::from("17"));
    client.ready(PATIENCE).await.unwrap();
}

/// The error of a call, and how long it took.
async fn refused(client: &Client, timeout: Duration) -> (bindwright::Error, Duration) {
    let began = Instant::now();
    let result = client.invoke_binding("echo", "create", Request::new("17"), Some(timeout)).await;
    (result.unwrap_err(), began.elapsed())
}

fn with_authority(kind: TransportKind, port: u16, folder: &tempfile::TempDir, pem: &str) -> Client {
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, pem).unwrap();
    let mut options = to(kind, format!("https://localhost:{port}"));
    options.sidecar.ca_file = Some(file);
    Client::open(options).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_trusted_and_no_other() {
    let server = fixture().start().await;
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let folder = tempfile::tempdir().unwrap();
    for kind in WAYS {
        let gate = async |hosts: &[&str], valid| {
            Gate::encrypting(address(base(kind, &server)), &ours.issue("sidecar", hosts, valid)).await
        };
        let good = gate(&["localhost"], Valid::Now).await;
        check(&with_authority(kind, good.port, &folder, &ours.pem())).await;
        let expired = gate(&["localhost"], Valid::Formerly).await;
        let other = gate(&["elsewhere"], Valid::Now).await;
        for (port, authority, code) in [
            (good.port, &theirs, ErrorCode::UntrustedCertificate),
            (other.port, &ours, ErrorCode::UntrustedCertificate),
            (expired.port, &ours, ErrorCode::ExpiredCertificate),
        ] {
            let client = with_authority(kind, port, &folder, &authority.pem());
            let (error, took) = refused(&client, PATIENCE).await;
            assert_eq!((error.code(), error.retriable()), (code, Some(false)), "{kind:?}: {error}");
            assert!(took < PATIENCE / 3, "not at once: {took:?}");
        }
        // Nobody there speaks TLS; and somebody does, to a client that does not.
        let plain = with_authority(kind, address(base(kind, &server)).port(), &folder, &ours.pem());
        let (error, _) = refused(&plain, SHORT).await;
        // Some say so, and some just hang up.
        assert!([ErrorCode::TlsFailed, ErrorCode::Unavailable].contains(&error.code()), "{kind:?}: {error}");
        let client = Client::open(to(kind, format!("http://localhost:{}", good.port))).unwrap();
        let (error, _) = refused(&client, SHORT).await;
        assert_ne!(error.retriable(), None, "{kind:?}: {error}");
        let missing = {
            let mut options = to(kind, "https://localhost:1");
            options.sidecar.ca_file = Some(folder.path().join("nothing.pem"));
            Client::open(options).unwrap_err()
        };
        assert_eq!(missing.code(), ErrorCode::InvalidOptions);
    }
    let good =
        Gate::encrypting(address(&server.grpc), &ours.issue("sidecar", &["localhost"], Valid::Now)).await;
    let mut options = to(TransportKind::SidecarGrpc, format!("dns:localhost:{}?tls=true", good.port));
    options.sidecar.ca_file = Some(folder.path().join("authority.pem"));
    std::fs::write(folder.path().join("authority.pem"), ours.pem()).unwrap();
    check(&Client::open(options).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_starts_late_is_waited_for() {
    for kind in WAYS {
        let port = free_port();
        let flag = if kind == TransportKind::SidecarHttp { "--dapr-http-port" } else { "--dapr-grpc-port" };
        let client = Client::open(to(kind, format!("http://127.0.0.1:{port}"))).unwrap();
        let (error, took) = refused(&client, SHORT).await;
        assert_eq!((error.code(), error.retriable()), (ErrorCode::Unavailable, Some(true)), "{error}");
        assert!(took >= SHORT, "{took:?}");
        let called = tokio::spawn({
            let client = client.clone();
            async move { check(&client).await }
        });
        let ready = tokio::spawn(async move { client.ready(PATIENCE).await });
        tokio::time::sleep(SHORT).await;
        assert!(!called.is_finished() && !ready.is_finished());
        let _server = fixture().flags(&[flag, &port.to_string()]).start().await;
        called.await.unwrap();
        ready.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_takes_calls_and_never_answers_is_left_at_the_deadline() {
    for kind in WAYS {
        let gate = Gate::silent().await;
        let client = Client::open(to(kind, format!("http://127.0.0.1:{}", gate.port))).unwrap();
        let (error, took) = refused(&client, SHORT).await;
        assert_eq!(
            (error.code(), error.retriable()),
            (ErrorCode::OutcomeUnknown, Some(false)),
            "{kind:?}: {error}"
        );
        assert!(took >= SHORT && took < PATIENCE / 3, "{took:?}");
        let began = Instant::now();
        client.ready(SHORT).await.unwrap_err();
        assert!(began.elapsed() < PATIENCE / 3);
        client.close(Duration::from_secs(1)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_within_an_answer_leaves_the_outcome_open() {
    let server = fixture().start().await;
    for kind in WAYS {
        let mut answered = 0;
        for after in [0, 1, 9, 30, 60, 100, 150, 200, 300, 400, 500, 700, 1_000, 2_000] {
            let gate = Gate::cutting(address(base(kind, &server)), after).await;
            let client = Client::open(to(kind, format!("http://127.0.0.1:{}", gate.port))).unwrap();
            let name = format!("half {} {after}", kind.as_str());
            let text = format!("\"{}\"", "x".repeat(500));
            let request = Request::new(text.clone()).with("note", name.clone());
            let result = client.invoke_binding("odd", "create", request, Some(SHORT)).await;
            let note = Note::of(&name);
            let count = note.data.lock().len();
            match result {
                Ok(reply) => {
                    assert_eq!(reply.body, Body::from(text), "{kind:?} {after}");
                    answered += 1;
                }
                Err(error) if error.code() == ErrorCode::OutcomeUnknown => {}
                Err(error) => {
                    assert_eq!(
                        (error.code(), count),
                        (ErrorCode::Unavailable, 0),
                        "{kind:?} {after}: {error}"
                    );
                }
            }
            assert!(count <= 1, "{kind:?} {after}: repeated");
        }
        assert!((1..10).contains(&answered), "{kind:?}: {answered}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_of_a_sidecar_is_an_error() {
    for (bytes, code) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"[..], ErrorCode::OutcomeUnknown),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", ErrorCode::OutcomeUnknown),
        (b"SSH-2.0-OpenSSH\r\n", ErrorCode::OutcomeUnknown),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n",
            ErrorCode::Backend,
        ),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope", ErrorCode::Backend),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", ErrorCode::OutcomeUnknown),
    ] {
        let gate = Gate::answering(bytes).await;
        let at = format!("http://127.0.0.1:{}", gate.port);
        let http = Client::open(to(TransportKind::SidecarHttp, at.clone())).unwrap();
        let (error, _) = refused(&http, PATIENCE).await;
        assert_eq!(error.code(), code, "{error}");
        // To somebody who expects HTTP/2 all of it is noise.
        let grpc = Client::open(to(TransportKind::SidecarGrpc, at)).unwrap();
        let (error, _) = refused(&grpc, SHORT).await;
        assert!([ErrorCode::OutcomeUnknown, ErrorCode::Unavailable].contains(&error.code()), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_ipv6_are_reached() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = fixture().flags(&["--unix-domain-socket", folder.path().to_str().unwrap()]);
    let options = fixture.options();
    let server = Server::start(open_client(&options).unwrap(), options).await.unwrap();
    let ender = server.ender();
    let run = tokio::spawn(server.run());
    for kind in WAYS {
        let path = folder.path().join(format!("dapr-shop-{}.socket", way::protocol(kind)));
        check(&Client::open(to(kind, format!("unix:{}", path.display()))).unwrap()).await;
        check(&Client::open(to(kind, format!("unix://{}", path.display()))).unwrap()).await;
    }
    ender.end();
    run.await.unwrap();
    let server = super::components::fixture().start().await;
    for kind in WAYS {
        #[cfg(target_os = "linux")]
        {
            let name = format!("bindwright-{}-{}", std::process::id(), way::protocol(kind));
            let _gate = Gate::on_abstract_socket(&name, address(base(kind, &server)));
            check(&Client::open(to(kind, format!("unix-abstract:{name}"))).unwrap()).await;
        }
    }
    if std::net::TcpListener::bind(("::1", 0)).is_err() {
        // This machine has no IPv6.
        return;
    }
    let fixture = super::components::fixture().flags(&["--dapr-listen-addresses", "::1"]);
    let server = fixture.start().await;
    for kind in WAYS {
        assert!(base(kind, &server).contains("[::1]"));
        check(&Client::open(way::options(kind, &server)).unwrap()).await;
    }
    check(
        &Client::open(to(TransportKind::SidecarGrpc, format!("dns:[::1]:{}", address(&server.grpc).port())))
            .unwrap(),
    )
    .await;
}

/// A server that can be killed: nothing it has in hand is finished.
struct Mortal {
    fixture: Arc<Fixture>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Mortal {
    fn new(fixture: Fixture) -> Self {
        Self { fixture: Arc::new(fixture), runtime: None }
    }

    async fn start(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let fixture = self.fixture.clone();
            match runtime.spawn(async move { fixture.try_start().await }).await.unwrap() {
                Ok(running) => {
                    // It goes on; what would end it goes with the runtime.
                    runtime.spawn(running.run);
                    break;
                }
                // The port is not free yet.
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.runtime = Some(runtime);
    }

    fn kill(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What came of the calls of many workers while the server was killed and started again.
struct Tally {
    acknowledged: Vec<u32>,
    failed: Vec<(u32, ErrorCode)>,
    done: Vec<u32>,
}

async fn under_fire(kind: TransportKind, max_retries: i64) -> Tally {
    const WORKERS: u32 = 16;
    let port = free_port();
    let flag = if kind == TransportKind::SidecarHttp { "--dapr-http-port" } else { "--dapr-grpc-port" };
    let mut server = Mortal::new(fixture().flags(&[flag, &port.to_string()]));
    server.start().await;
    let mut options = to(kind, format!("http://127.0.0.1:{port}"));
    options.sidecar.max_retries = Some(max_retries);
    let client = Client::open(options).unwrap();
    let name = format!("under fire {} {max_retries}", kind.as_str());
    let (ending, ended) = tokio::sync::watch::channel(false);
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (client, name, ended) = (client.clone(), name.clone(), ended.clone());
            tokio::spawn(async move {
                let mut results = Vec::new();
                for number in (worker..).step_by(WORKERS as usize) {
                    if *ended.borrow() {
                        break;
                    }
                    let request =
                        Request::new(number.to_string()).with("note", name.clone()).with("pause", "2");
                    results.push((number, client.invoke_binding("odd", "create", request, None).await));
                }
                results
            })
        })
        .collect();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(60)).await;
        server.start().await;
    }
    tokio::time::sleep(Duration::from_millis(150)).await;
    ending.send_replace(true);
    let (mut acknowledged, mut failed) = (Vec::new(), Vec::new());
    for worker in workers {
        for (number, result) in worker.await.unwrap() {
            match result {
                Ok(_) => acknowledged.push(number),
                Err(error) => failed.push((number, error.code())),
            }
        }
    }
    let note = Note::of(&name);
    let done = note.data.lock().iter().map(|data| String::from_utf8_lossy(data).parse().unwrap()).collect();
    Tally { acknowledged, failed, done }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_sidecar_is_killed_and_nothing_is_done_twice() {
    for kind in WAYS {
        let Tally { acknowledged, failed, mut done } = under_fire(kind, 0).await;
        assert!(
            acknowledged.len() > 100 && !failed.is_empty(),
            "{kind:?}: {} {failed:?}",
            acknowledged.len()
        );
        assert!(acknowledged.iter().all(|number| done.contains(number)), "{kind:?}: lost");
        // What was not sent for certain was sent later: nothing is left but what may have been done.
        assert!(failed.iter().all(|(_, code)| *code == ErrorCode::OutcomeUnknown), "{kind:?}: {failed:?}");
        let count = done.len();
        done.sort_unstable();
        done.dedup();
        assert_eq!(done.len(), count, "{kind:?}: done twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_allows_repeats_gets_everything_done() {
    for kind in WAYS {
        let Tally { acknowledged, failed, done } = under_fire(kind, -1).await;
        assert!(failed.is_empty(), "{kind:?}: {failed:?}");
        assert!(acknowledged.iter().all(|number| done.contains(number)), "{kind:?}: lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_all_handled_when_the_sidecar_is_killed() {
    const EVENTS: usize = 300;
    for kind in WAYS {
        let fixture = fixture();
        fixture.queue("orders", &[]);
        let (port, app_port) = (free_port(), free_port());
        let flag = if kind == TransportKind::SidecarHttp { "--dapr-http-port" } else { "--dapr-grpc-port" };
        let (port_text, app_port_text) = (port.to_string(), app_port.to_string());
        let flags = [flag, &port_text, "--app-port", &app_port_text, "--app-protocol", way::protocol(kind)];
        let mut server = Mortal::new(fixture.flags(&flags));
        server.start().await;
        let mut options = to(kind, format!("http://127.0.0.1:{port}"));
        options.sidecar.app_port = Some(app_port);
        let client = Client::open(options).unwrap();
        for number in 0..EVENTS {
            client.invoke_binding("orders", "create", Request::new(number.to_string()), None).await.unwrap();
        }
        let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let noted = seen.clone();
        client
            .on("orders", move |event| {
                let noted = noted.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    let text = String::from_utf8(event.body().as_bytes().unwrap().to_vec()).unwrap();
                    noted.lock().push(text);
                    bindwright::Outcome::Ack
                }
            })
            .await
            .unwrap();
        for part in 1..=3 {
            let so_many = EVENTS * part / 5;
            super::fixture::until("events come", || async { seen.lock().len() >= so_many }).await;
            server.kill();
            tokio::time::sleep(Duration::from_millis(50)).await;
            server.start().await;
        }
        let left = || async {
            let reply = client.invoke_binding("orders", "size", Request::default(), None).await.unwrap();
            reply.body.as_bytes().unwrap().to_vec() == b"0"
        };
        super::fixture::until("all are settled", left).await;
        let mut all: Vec<_> = seen.lock().clone();
        let handled = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), EVENTS, "{kind:?}: lost");
        // At most what was under way at each of the three deaths came again.
        assert!(handled < EVENTS * 2, "{kind:?}: {handled}");
        client.close(PATIENCE).await.unwrap();
    }
}
