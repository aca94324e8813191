//! Brokers that are there and refuse us: a password that is wrong, a certificate that is not trusted, a port that
//! speaks something else. Nobody has to wait for a deadline to be told that.
//!
//! The client library tells of every broker that failed; once all of them have, those that are not simply away are
//! asked by hand for the exact cause. Only when every broker refuses is the component refused: one that is sick must
//! not fail calls which others serve, and one that is away may still come. What refuses goes on being tried.
//! Tests: below, and `core/tests/kafka/security/`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;

use super::probe::{self, Approach};
use super::settings::KafkaSettings;
use crate::error::{Error, ErrorCode, Result};
use crate::tls;

/// How long one broker may take to be asked by hand. It has just been connected to.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a cluster that is away is asked by hand whether it is only that.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// How a broker failed the last time, with the client library's words.
#[derive(Debug, Clone)]
enum Failed {
    Login(String),
    Encryption(String),
    Connection,
}

/// What the client library told of brokers since one was last of use.
#[derive(Debug, Default, Clone)]
pub(super) struct BrokerFailures {
    brokers: BTreeMap<String, Failed>,
    /// None of them is of use.
    all: bool,
}

impl BrokerFailures {
    /// Takes an error of the client library; `true` when it is worth a [`verdict`].
    pub(super) fn note(&mut self, code: Option<RDKafkaErrorCode>, reason: &str) -> bool {
        let failed = match code {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.all = true;
                return true;
            }
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                Failed::Login(words(reason).to_owned())
            }
            Some(RDKafkaErrorCode::SSL) => Failed::Encryption(words(reason).to_owned()),
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => Failed::Connection,
            _ => return false,
        };
        if let Some(address) = address(reason) {
            self.brokers.insert(address.to_owned(), failed);
        }
        self.all
    }

    /// A broker was of use.
    pub(super) fn clear(&mut self) {
        self.brokers.clear();
        self.all = false;
    }

    /// Whether there is no broker that was of use.
    pub(super) fn are_all(&self) -> bool {
        self.all
    }
}

/// `127.0.0.1:9092` of `sasl_ssl://127.0.0.1:9092/bootstrap: …`.
fn address(reason: &str) -> Option<&str> {
    let (protocol, rest) = reason.split_once("://")?;
    let is_protocol = protocol.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
    rest.split_once('/').map(|(address, _)| address).filter(|_| is_protocol)
}

/// What comes behind the name of the broker, and before how long it took.
fn words(reason: &str) -> &str {
    let text = address(reason).and_then(|_| reason.split_once(": ")).map_or(reason, |(_, text)| text);
    text.rfind(" (after ").map_or(text, |end| &text[..end])
}

/// Why no broker can be used although they are there; `None` when one might be, or when it is not known.
pub(super) async fn verdict(failures: BrokerFailures, settings: &KafkaSettings) -> Option<Error> {
    if !failures.all {
        return None;
    }
    let mut first = None;
    let bootstrap = settings.brokers.split(',').map(|broker| with_port(broker.trim()));
    let rest = bootstrap.filter(|address| !failures.brokers.contains_key(address));
    let brokers = failures.brokers.iter().map(|(address, failed)| (address.clone(), Some(failed)));
    for (address, failed) in brokers.chain(rest.map(|address| (address, None))) {
        let error = match failed {
            Some(Failed::Login(words)) => refused_login(&address, words),
            Some(Failed::Encryption(words)) => match try_out(&address, settings).await {
                Ok(()) => unencrypted(&address, words),
                Err(error) => refusal(error)?,
            },
            Some(Failed::Connection) => refusal(try_out(&address, settings).await.err()?)?,
            // Not heard of: it agrees with the others, if it does not contradict them.
            None => match try_out(&address, settings).await {
                Ok(()) => continue,
                Err(error) => refusal(error)?,
            },
        };
        first.get_or_insert(error);
    }
    first
}

/// Nothing but a refusal: a broker that is away may come back.
fn refusal(error: Error) -> Option<Error> {
    is_refusal(error.code()).then_some(error)
}

/// Whether a code means that somebody is there and refuses.
pub(super) fn is_refusal(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Unauthenticated
            | ErrorCode::PermissionDenied
            | ErrorCode::UntrustedCertificate
            | ErrorCode::ExpiredCertificate
            | ErrorCode::TlsFailed
    )
}

async fn try_out(address: &str, settings: &KafkaSettings) -> Result<()> {
    let away = || Error::new(ErrorCode::Unavailable, "not an address");
    let (host, port) = address.rsplit_once(':').ok_or_else(away)?;
    let port = port.parse().map_err(|_| away())?;
    let approach =
        Approach { tls: settings.security.tls.as_ref(), logs_in: settings.security.sasl.is_some() };
    probe::try_out(host, port, &approach, Instant::now() + PATIENCE).await
}

fn with_port(broker: &str) -> String {
    let broker = broker.split_once("://").map_or(broker, |(_, address)| address);
    let has_port = broker.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { broker.to_owned() } else { format!("{broker}:9092") }
}

fn refused_login(address: &str, words: &str) -> Error {
    let error = Error::new(ErrorCode::Unauthenticated, format!("{address} refuses the login")).backend(words);
    if words.contains("mechanism") || words.contains("SASL state") {
        return error.advice("Check `saslMechanism` and that this port of the broker wants a login.");
    }
    error
}

fn unencrypted(address: &str, words: &str) -> Error {
    let code = tls::code_of(words).unwrap_or(ErrorCode::TlsFailed);
    Error::new(code, format!("no encrypted connection to {address}")).backend(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_told_apart_by_their_addresses() {
        let reason = "sasl_ssl://127.0.0.1:9093/bootstrap: SASL authentication error: no (after 5ms in state AUTH_REQ)";
        assert_eq!(address(reason), Some("127.0.0.1:9093"));
        assert_eq!(words(reason), "SASL authentication error: no");
        assert_eq!(address("2/2 brokers are down"), None);
        assert_eq!(address("GroupCoordinator: 127.0.0.1:9093: Disconnected"), None);
        assert_eq!(with_port("[::1]:9093"), "[::1]:9093");
        assert_eq!(with_port("broker"), "broker:9092");
    }

    #[test]
    fn a_sick_broker_is_no_verdict_while_another_might_serve() {
        let mut failures = BrokerFailures::default();
        let reason = "sasl_ssl://127.0.0.1:1/1: Authentication failed";
        assert!(!failures.note(Some(RDKafkaErrorCode::Authentication), reason));
        assert!(failures.note(Some(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down"));
        assert!(failures.are_all());
        failures.clear();
        assert!(!failures.are_all());
    }
}
