//! Waiting for the application to listen.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

const PAUSE: Duration = Duration::from_millis(100);
const DIAL: Duration = Duration::from_millis(500);
/// How often somebody who wonders is told.
const TELL: Duration = Duration::from_secs(30);

/// Returns when somebody listens there; for ever if need be.
pub(super) async fn wait(host: &str, port: u16) {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut told: Option<Instant> = None;
    loop {
        if let Ok(Ok(_)) = tokio::time::timeout(DIAL, TcpStream::connect((host, port))).await {
            tracing::info!(target: "bindwright", "the application listens on {host}:{port}");
            return;
        }
        if told.is_none_or(|told| told.elapsed() >= TELL) {
            tracing::info!(target: "bindwright", "waiting for the application on {host}:{port}");
            told = Some(Instant::now());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
