//! The way to a broker: its name, TCP, and what is spoken there.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

use super::super::probe::{self, Approach};
use super::super::settings::KafkaSettings;
use crate::error::{Error, ErrorCode, Result};
use crate::inspect::{Examination, Notes, show_day};
use crate::runtime;
use crate::tls::probe::{connect, resolve};

/// A certificate that ends so soon is worth a warning.
const SOON: Duration = Duration::from_hours(30 * 24);
const DAY: u64 = 24 * 60 * 60;

/// Tries every seed broker; whether one can be talked to.
pub(super) fn seeds(settings: &KafkaSettings, examination: &mut Examination<'_>) -> bool {
    let mut reached = false;
    for seed in settings.brokers.split(',') {
        reached |= broker(settings, seed, examination);
    }
    reached
}

/// Tries one broker.
fn broker(settings: &KafkaSettings, address: &str, examination: &mut Examination<'_>) -> bool {
    let parts = examination.step("resolve", address, |deadline, notes| {
        let (host, port) = parts(address)?;
        let addresses = wait(resolve(&host, port, deadline))?;
        let list: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
        notes.fact("addresses", list.join(", "));
        Ok((host, port, addresses))
    });
    let Some((host, port, addresses)) = parts else { return false };
    let connected = examination.step("connect", address, |deadline, notes| {
        let stream = wait(connect(&addresses, deadline))?;
        if let Ok(peer) = stream.peer_addr() {
            notes.fact("to", peer);
        }
        Ok(())
    });
    if connected.is_none() {
        return false;
    }
    speak(settings, address, (&host, port), examination)
}

/// Finds out whether broker and component speak the same.
fn speak(
    settings: &KafkaSettings,
    address: &str,
    (host, port): (&str, u16),
    examination: &mut Examination<'_>,
) -> bool {
    let logs_in = settings.security.sasl.is_some();
    let Some(tls) = &settings.security.tls else {
        let spoken = examination.step("protocol", address, |deadline, notes| {
            notes.fact("encryption", "none");
            wait(probe::try_out(host, port, &Approach { tls: None, logs_in }, deadline))
        });
        return spoken.is_some();
    };
    let shaken = examination.step("tls", address, |deadline, notes| {
        let shown = wait(probe::tls_probe(host, port, tls, deadline))?;
        notes.fact("protocol", &shown.protocol);
        notes.fact("subject", &shown.subject);
        notes.fact("issuer", &shown.issuer);
        notes.fact("names", shown.names.join(", "));
        notes.fact("valid from", show_day(shown.not_before));
        notes.fact("valid until", show_day(shown.not_after));
        expiry(notes, &format!("the certificate of {address}"), shown.not_after);
        if tls.skip_verify {
            let message = format!("the certificate of {address} is not checked (skipVerify)");
            notes.warn(
                Error::new(ErrorCode::UntrustedCertificate, message)
                    .advice("Give the authority's certificate in `caCert`, and remove `skipVerify`."),
            );
        }
        if tls.identity.is_some() {
            notes.fact("own certificate", "shown and accepted");
        }
        if !logs_in {
            // Only now the broker has to say whether it lets us in.
            wait(probe::try_out(host, port, &Approach { tls: Some(tls), logs_in }, deadline))?;
        }
        Ok(())
    });
    shaken.is_some()
}

fn expiry(notes: &mut Notes, what: &str, end: SystemTime) {
    let Ok(left) = end.duration_since(SystemTime::now()) else { return };
    let days = left.as_secs() / DAY;
    notes.fact("days left", days);
    if left < SOON {
        notes.warn(
            Error::new(ErrorCode::ExpiredCertificate, format!("{what} ends in {days} days"))
                .advice("Have it renewed before that."),
        );
    }
}

/// Whether an address can be connected to, and the connection as far as TCP only.
pub(super) fn is_reachable(address: &str, deadline: Instant) -> Result<()> {
    let (host, port) = parts(address)?;
    wait(async { connect(&resolve(&host, port, deadline).await?, deadline).await }).map(drop)
}

/// Host and port of an address; without a port it is Kafka's own.
fn parts(address: &str) -> Result<(String, u16)> {
    let unfit =
        || Error::new(ErrorCode::InvalidSettings, format!("brokers: expected host:port, got {address:?}"));
    let address = address.split_once("://").map_or(address, |(_, address)| address).trim();
    match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.starts_with('[') => {
            Ok((host.to_owned(), port.parse().map_err(|_| unfit())?))
        }
        _ if address.is_empty() => Err(unfit()),
        _ => Ok((address.to_owned(), 9092)),
    }
}

/// Waits for what has a deadline of its own.
pub(super) fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let interrupted = || Err(Error::new(ErrorCode::Cancelled, "it was interrupted"));
    runtime::block_on(&runtime::handle()?, future, None, || false).unwrap_or_else(interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_hosts_and_ports() {
        for (address, host, port) in
            [("broker:19092", "broker", 19092), ("broker", "broker", 9092), ("[::1]:9093", "[::1]", 9093)]
        {
            assert_eq!(parts(address).expect(address), (host.to_owned(), port));
        }
        assert!(parts("broker:many").is_err() && parts("").is_err());
    }
}
