//! What is counted about requests to the API, over HTTP and gRPC.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use parking_lot::RwLock;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};
use tonic::Code;

use super::{counter, millis, times};
use crate::configuration::Configuration;

/// In bytes.
const SIZES: [f64; 13] = [
    1024.0,
    2048.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
];
/// Callers choose paths; what comes after so many different ones counts without its path.
const MOST_PATHS: usize = 1000;

pub(super) struct Requests {
    counts_paths: bool,
    excludes_verbs: bool,
    counts: IntCounterVec,
    responses: IntCounterVec,
    times: HistogramVec,
    request_sizes: Histogram,
    response_sizes: Histogram,
    /// What was looked up before, by path: a look at labels takes longer than counting.
    series: RwLock<HashMap<String, OfPath>>,
    calls: IntCounterVec,
    call_times: HistogramVec,
    paths: RwLock<HashSet<String>>,
}

/// What is counted of a path, by method and status.
type OfPath = Vec<(Method, StatusCode, Arc<Series>)>;

/// Where requests of one path, method and status are counted.
struct Series {
    requests: IntCounter,
    responses: IntCounter,
    times: Histogram,
}

/// What is known of a request over HTTP when it is answered.
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) took: Duration,
}

impl Requests {
    pub(super) fn new(
        registry: &Registry,
        app_id: &str,
        latencies: &[f64],
        configuration: &Configuration,
    ) -> Self {
        let counts_paths = configuration.counts_paths();
        let each: &[&str] = if counts_paths {
            &["app_id", "method", "path", "status"]
        } else {
            &["app_id", "method", "status"]
        };
        let name = |name: &str| format!("http_server_{name}");
        let method = ["app_id", "grpc_server_method"];
        let sizes = |what: &str, help: &str| {
            times(registry, &name(what), help, &["app_id"], &SIZES).with_label_values(&[app_id])
        };
        Self {
            counts_paths,
            excludes_verbs: configuration.excludes_verbs(),
            counts: counter(registry, &name("request_count"), "requests over HTTP", each),
            responses: counter(registry, &name("response_count"), "answers over HTTP", each),
            times: times(registry, &name("latency"), "how long they took, in ms", each, latencies),
            request_sizes: sizes("request_bytes", "sizes of their bodies"),
            response_sizes: sizes("response_bytes", "sizes of answers"),
            series: RwLock::default(),
            calls: counter(
                registry,
                "grpc_io_server_completed_rpcs",
                "calls over gRPC",
                &["app_id", "grpc_server_method", "grpc_server_status"],
            ),
            call_times: times(
                registry,
                "grpc_io_server_server_latency",
                "how long they took, in ms",
                &method,
                latencies,
            ),
            paths: RwLock::default(),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes are put into buckets")]
    pub(super) fn over_http(&self, app_id: &str, answered: &Answered<'_>) {
        let series = self.found(answered).unwrap_or_else(|| self.made(app_id, answered));
        series.requests.inc();
        series.responses.inc();
        series.times.observe(millis(answered.took));
        self.request_sizes.observe(answered.received as f64);
        self.response_sizes.observe(answered.sent as f64);
    }

    fn found(&self, answered: &Answered<'_>) -> Option<Arc<Series>> {
        let series = self.series.read();
        let of_path = series.get(answered.path)?.iter();
        let mut same =
            of_path.filter(|(method, status, _)| method == answered.method && *status == answered.status);
        same.next().map(|(_, _, series)| series.clone())
    }

    fn made(&self, app_id: &str, answered: &Answered<'_>) -> Arc<Series> {
        let method = if self.excludes_verbs { "" } else { known(answered.method) };
        let is_known = self.is_known(answered.path);
        let path = if is_known { answered.path } else { "" };
        let status = answered.status.as_str();
        let all = [app_id, method, path, status];
        let fewer = [app_id, method, status];
        let labels: &[&str] = if self.counts_paths { &all } else { &fewer };
        let made = Arc::new(Series {
            requests: self.counts.with_label_values(labels),
            responses: self.responses.with_label_values(labels),
            times: self.times.with_label_values(labels),
        });
        // Callers make up paths and methods.
        if is_known && !method.is_empty() {
            let mut series = self.series.write();
            let of_path = series.entry(answered.path.to_owned()).or_default();
            of_path.push((answered.method.clone(), answered.status, made.clone()));
        }
        made
    }

    pub(super) fn over_grpc(&self, app_id: &str, path: &str, code: Code, took: Duration) {
        let path = if self.is_known(path) { path } else { "" };
        self.calls.with_label_values(&[app_id, path, spelt(code)]).inc();
        self.call_times.with_label_values(&[app_id, path]).observe(millis(took));
    }

    fn is_known(&self, path: &str) -> bool {
        if self.paths.read().contains(path) {
            return true;
        }
        let mut paths = self.paths.write();
        paths.len() < MOST_PATHS && paths.insert(path.to_owned())
    }
}

/// Callers make up methods as well.
fn known(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::PATCH
        | Method::HEAD
        | Method::OPTIONS => method.as_str(),
        _ => "",
    }
}

/// As Go spells it.
const fn spelt(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
