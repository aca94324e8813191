//! The cases of `tests/spec` through `bindwright serve`: each has a server of its own.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use bindwright::{Client, TransportKind};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::fixture::{Fixture, free_port};
use super::kafka::{self, Cluster};
use super::runner::{Beside, Placeholders, Way, every_case_holds};
use super::way::{self, protocol};

#[tokio::test(flavor = "multi_thread")]
async fn every_case_holds_over_grpc() {
    over(Way { transport: TransportKind::SidecarGrpc.as_str(), open: over_grpc }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_holds_over_http() {
    over(Way { transport: TransportKind::SidecarHttp.as_str(), open: over_http }).await;
}

async fn over<O>(way: Way<O>)
where
    O: AsyncFn(PathBuf) -> (Client, Beside) + Copy + 'static,
{
    for file in ["memory.yaml", "dispatch.yaml", "policies.yaml", "documents.yaml"] {
        let count = every_case_holds(way, file, own_queue).await;
        assert!(count > 0, "{file}: every case differs over {}", way.transport);
    }
    if broker().await.is_some() {
        let count = every_case_holds(way, "kafka.yaml", own_topic).await;
        assert!(count > 0, "kafka.yaml: every case differs over {}", way.transport);
    }
}

async fn over_grpc(folder: PathBuf) -> (Client, Beside) {
    open(TransportKind::SidecarGrpc, folder).await
}

async fn over_http(folder: PathBuf) -> (Client, Beside) {
    open(TransportKind::SidecarHttp, folder).await
}

async fn open(kind: TransportKind, folder: PathBuf) -> (Client, Beside) {
    let port = free_port();
    let port_text = port.to_string();
    let flags = ["--resources-path", folder.to_str().unwrap(), "--app-port", &port_text];
    let fixture = Fixture::new().flags(&flags).flags(&["--app-protocol", protocol(kind)]);
    let server = fixture.start().await;
    let mut options = way::options(kind, &server);
    options.sidecar.app_port = Some(port);
    let beside = async move {
        server.end().await;
        drop(fixture);
    };
    (Client::open(options).unwrap(), Box::pin(beside))
}

/// A queue that no other case uses.
async fn own_queue(_case: Value) -> Placeholders {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    vec![("{queue}", format!("through-serve-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))]
}

/// A topic and a group that no other case uses.
async fn own_topic(case: Value) -> Placeholders {
    let broker = broker().await.expect("asked for before");
    let (topic, group) = (kafka::unique("topic"), kafka::unique("group"));
    broker.create_topic(&topic, case["partitions"].as_u64().unwrap_or(1)).await;
    vec![("{brokers}", broker.bootstrap().to_owned()), ("{topic}", topic), ("{group}", group)]
}

/// The broker of these tests; `None` is a visible skip, and never happens in CI.
async fn broker() -> Option<&'static Cluster> {
    static BROKER: OnceCell<Option<Cluster>> = OnceCell::const_new();
    let start = async || tokio::task::spawn_blocking(|| kafka::own(&["--fast-start"])).await.unwrap();
    BROKER.get_or_init(start).await.as_ref()
}
