//! What the core can do without a language around it, beside plain librdkafka on the same broker.
//!
//! ```text
//! core-bench --resources DIR --bootstrap HOST:PORT --topic TOPIC [--binding checkout] [--mode at-once]
//!            [--in-flight 64] [--records 100000] [--rounds 5] [--keyed]
//! ```
//!
//! Modes: `at-once` keeps so many awaited calls under way, `one` sends one after the other from a blocking thread,
//! `bulk` gives everything in one call. The two take turns, and print one line of JSON a round. `--only bindwright`
//! or `--only librdkafka` leaves the other out, for a profiler.

mod embedded;
mod options;
mod plain;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use options::{Mode, Options};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Somebody who sends records and tells when the broker has confirmed them.
trait Peer: Clone + Send + Sync + 'static {
    fn send(&self, key: Option<String>) -> impl Future<Output = Result<(), Failure>> + Send;
    fn send_blocking(&self) -> Result<(), Failure>;
    fn send_bulk(&self, records: usize) -> Result<(), Failure>;
}

const PAYLOAD: &[u8] = &[b'x'; 100];

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("core-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let bindwright = embedded::Embedded::open(options)?;
    let plain = plain::Plain::open(options)?;
    // The first round of each is a warm-up: connections, partitions, the broker's own code.
    for round in 0..=options.rounds {
        for name in ["bindwright", "librdkafka"] {
            if options.only.as_deref().is_some_and(|only| only != name) {
                continue;
            }
            let mut latencies = match name {
                "bindwright" => measure(&runtime, &bindwright, options)?,
                _ => measure(&runtime, &plain, options)?,
            };
            if round > 0 {
                print(name, options.records, &mut latencies);
            }
        }
    }
    Ok(())
}

/// The time a round took, and the time of each call where there was more than one.
struct Measured {
    took: Duration,
    calls: Vec<Duration>,
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    peer: &impl Peer,
    options: &Options,
) -> Result<Measured, Failure> {
    let began = Instant::now();
    let calls = match options.mode {
        Mode::AtOnce => runtime.block_on(at_once(peer, options))?,
        Mode::One => {
            let mut calls = Vec::with_capacity(options.records);
            for _ in 0..options.records {
                let began = Instant::now();
                peer.send_blocking()?;
                calls.push(began.elapsed());
            }
            calls
        }
        Mode::Bulk => {
            peer.send_bulk(options.records)?;
            Vec::new()
        }
    };
    Ok(Measured { took: began.elapsed(), calls })
}

async fn at_once(peer: &impl Peer, options: &Options) -> Result<Vec<Duration>, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..options.in_flight {
        let (peer, next) = (peer.clone(), next.clone());
        let (records, keyed) = (options.records, options.keyed);
        tasks.spawn(async move {
            let mut calls = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= records {
                    return Ok::<_, Failure>(calls);
                }
                let began = Instant::now();
                peer.send(keyed.then(|| format!("key-{number}"))).await?;
                calls.push(began.elapsed());
            }
        });
    }
    let mut calls = Vec::with_capacity(options.records);
    while let Some(task) = tasks.join_next().await {
        calls.append(&mut task??);
    }
    Ok(calls)
}

#[allow(clippy::cast_precision_loss)]
fn print(peer: &str, records: usize, measured: &mut Measured) {
    measured.calls.sort_unstable();
    let calls = &measured.calls;
    let part = |of_hundred: usize| {
        calls
            .get((calls.len() * of_hundred / 100).min(calls.len().saturating_sub(1)))
            .map(|call| micros(*call))
    };
    let line = serde_json::json!({
        "peer": peer,
        "rate": records as f64 / measured.took.as_secs_f64(),
        "p50": part(50),
        "p90": part(90),
        "p99": part(99),
    });
    println!("{line}");
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
