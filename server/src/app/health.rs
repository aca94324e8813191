//! Asking the application how it is.
//!
//! It counts as unwell until it first says otherwise, and again after so many failures *in a row*; with Dapr they add
//! up although there were good answers between.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::channel::Channel;
use crate::sidecar::Sidecar;

pub(super) async fn probe(sidecar: Arc<Sidecar>, channel: Arc<Channel>, healthy: watch::Sender<bool>) {
    let options = &sidecar.options;
    let interval = Duration::from_secs(options.app_health_probe_interval.max(1).into());
    let patience = Duration::from_millis(options.app_health_probe_timeout.max(1).into());
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failures = 0_u32;
    loop {
        ticks.tick().await;
        let is_well = tokio::time::timeout(patience, channel.is_well()).await.unwrap_or(false);
        failures = if is_well { 0 } else { failures.saturating_add(1) };
        let was_well = *healthy.borrow();
        if is_well && !was_well {
            tracing::info!(target: "bindwright", "the application is well");
            healthy.send_replace(true);
        } else if was_well && failures >= options.app_health_threshold.max(1) {
            tracing::warn!(target: "bindwright", "the application is not well: nothing is received until it is");
            healthy.send_replace(false);
        }
    }
}
