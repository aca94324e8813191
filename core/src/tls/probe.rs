//! One connection of our own, made step by step: name, TCP, TLS. Tells why there is none, exactly: client libraries
//! say only that something was wrong with a certificate, not which one, what and since when.
//!
//! Tests: below, and `core/tests/kafka/security/`.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::ssl::{self, SslStream, SslVerifyMode};
use openssl::x509::{X509NameRef, X509Ref, X509VerifyResult};
use parking_lot::Mutex;
use tokio::net::TcpStream;

use super::{Identity, Tls, certificates};
use crate::error::{Error, ErrorCode, Result};

/// What a server showed of itself.
#[derive(Debug, Clone)]
pub(crate) struct Handshake {
    /// `TLSv1.3` and the like.
    pub(crate) protocol: String,
    /// The certificate's subject, such as `CN=broker, O=Example`.
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// The host names and addresses that the certificate is for.
    pub(crate) names: Vec<String>,
}

/// The addresses of a host.
///
/// # Errors
/// `UNAVAILABLE` when the name is unknown, `TIMEOUT`.
pub(crate) async fn resolve(host: &str, port: u16, deadline: Instant) -> Result<Vec<SocketAddr>> {
    let looked_up = tokio::time::timeout_at(deadline.into(), tokio::net::lookup_host((bare(host), port)));
    let found =
        looked_up.await.map_err(|_| timed_out(&format!("the name {host:?} was not resolved in time")))?;
    let unknown = || Error::new(ErrorCode::Unavailable, format!("the host name {host:?} is unknown"));
    let addresses: Vec<_> = found.map_err(|error| unknown().backend(error.to_string()))?.collect();
    if addresses.is_empty() { Err(unknown()) } else { Ok(addresses) }
}

/// A connection to the first of the addresses that accepts one.
///
/// # Errors
/// `UNAVAILABLE` with the last address's words, `TIMEOUT`.
pub(crate) async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream> {
    let mut last = Error::new(ErrorCode::Unavailable, "there is no address to connect to");
    for address in addresses {
        match tokio::time::timeout_at(deadline.into(), TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                last = Error::new(ErrorCode::Unavailable, format!("{address} accepts no connection"))
                    .backend(error.to_string());
            }
            Err(_) => return Err(timed_out(&format!("{address} did not answer in time"))),
        }
    }
    Err(last)
}

/// A TLS connection over a TCP connection.
pub(crate) struct Encrypted {
    stream: SslStream<Waitless>,
    target: String,
    identity: Option<Identity>,
}

/// Shakes hands. A server that refuses the client's certificate says so only in answer to what is sent next: see
/// [`Encrypted::exchange`].
///
/// # Errors
/// `UNTRUSTED_CERTIFICATE`, `EXPIRED_CERTIFICATE` (the server's or our own), `UNAUTHENTICATED` when the server refuses
/// our certificate, `TLS_FAILED`, `TIMEOUT`, `INVALID_SETTINGS` for certificates or keys that cannot be read.
pub(crate) async fn shake_hands(
    tcp: TcpStream,
    host: &str,
    tls: &Tls,
    deadline: Instant,
) -> Result<(Handshake, Encrypted)> {
    let target = tcp.peer_addr().map_or_else(|_| host.to_owned(), |peer| format!("{host}:{}", peer.port()));
    let unfit = |error: ErrorStack| {
        Error::new(ErrorCode::InvalidSettings, "TLS cannot be set up").backend(error.to_string())
    };
    let connector = tls.connector()?.build();
    let configured = connector.configure().map_err(unfit)?.verify_hostname(!tls.skip_verify);
    let mut ssl = configured.into_ssl(bare(host)).map_err(unfit)?;
    let objection = Arc::new(Mutex::new(None));
    if !tls.skip_verify {
        let (noted, wanted, target) = (objection.clone(), bare(host).to_owned(), target.clone());
        ssl.set_verify_callback(SslVerifyMode::PEER, move |fine, context| {
            if !fine {
                let about = context.current_cert().map(|certificate| {
                    objection_to(certificate, context.error(), context.error_depth(), &wanted, &target)
                });
                noted
                    .lock()
                    .get_or_insert_with(|| about.unwrap_or_else(|| untrusted(context.error(), &target)));
            }
            fine
        });
    }
    let stream = SslStream::new(ssl, Waitless(tcp)).map_err(unfit)?;
    let mut encrypted = Encrypted { stream, target, identity: tls.identity.clone() };
    encrypted.until(deadline, SslStream::connect).await.map_err(|error| {
        // What we object to is told better by ourselves.
        objection.lock().take().unwrap_or(error)
    })?;
    let shown = encrypted.stream.ssl();
    let handshake = shown.peer_certificate().map(|certificate| facts(shown.version_str(), &certificate));
    let handshake = handshake.ok_or_else(|| {
        Error::new(ErrorCode::TlsFailed, format!("{} showed no certificate", encrypted.target))
    })?;
    Ok((handshake, encrypted))
}

impl Encrypted {
    /// Sends something and waits for so many bytes of the answer.
    ///
    /// # Errors
    /// As [`shake_hands`]; `UNAVAILABLE` when the server closes the connection.
    pub(crate) async fn exchange(
        &mut self,
        question: &[u8],
        answer: &mut [u8],
        deadline: Instant,
    ) -> Result<()> {
        let mut sent = 0;
        while sent < question.len() {
            sent += self.until(deadline, |stream| stream.ssl_write(&question[sent..])).await?;
        }
        let mut read = 0;
        while read < answer.len() {
            read += self.until(deadline, |stream| stream.ssl_read(&mut answer[read..])).await?;
        }
        Ok(())
    }

    /// Repeats a step until it needs to wait for nothing more.
    async fn until<T>(
        &mut self,
        deadline: Instant,
        mut step: impl FnMut(&mut SslStream<Waitless>) -> Result<T, ssl::Error>,
    ) -> Result<T> {
        loop {
            let error = match step(&mut self.stream) {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let tcp = &self.stream.get_ref().0;
            let ready = async {
                if error.code() == ssl::ErrorCode::WANT_WRITE {
                    tcp.writable().await
                } else {
                    tcp.readable().await
                }
            };
            if error.code() != ssl::ErrorCode::WANT_READ && error.code() != ssl::ErrorCode::WANT_WRITE {
                return Err(self.broken(&error));
            }
            match tokio::time::timeout_at(deadline.into(), ready).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(closed(&self.target).backend(error.to_string())),
                Err(_) => return Err(timed_out(&format!("{} did not answer in time", self.target))),
            }
        }
    }

    /// What the end of a connection means.
    fn broken(&self, error: &ssl::Error) -> Error {
        let text = error.to_string();
        let alert = text.contains("alert ");
        if let Some(identity) = self.identity.as_ref().filter(|_| alert)
            && let Some(expired) = identity.expired()
        {
            return expired.backend(text);
        }
        let about_ours = [
            "certificate required",
            "bad certificate",
            "certificate unknown",
            "unknown ca",
            "certificate expired",
            "certificate revoked",
            "unsupported certificate",
            "access denied",
        ];
        let target = &self.target;
        if alert && about_ours.iter().any(|about| text.contains(about)) {
            return if self.identity.is_some() {
                Error::new(
                    ErrorCode::Unauthenticated,
                    format!("{target} does not accept the client certificate"),
                )
                .backend(text)
            } else {
                Error::new(
                    ErrorCode::TlsFailed,
                    format!("{target} wants a client certificate, and there is none"),
                )
                .backend(text)
            };
        }
        if error.ssl_error().is_none() {
            return closed(target).backend(text);
        }
        let message = format!("no encrypted connection to {target}");
        Error::new(super::code_of(&text).unwrap_or(ErrorCode::TlsFailed), message).backend(text)
    }
}

impl Identity {
    /// Why the component's own certificate is not valid now, if it is not.
    pub(crate) fn expired(&self) -> Option<Error> {
        let certificate = certificates(&self.certificates).ok()?.into_iter().next()?;
        let what = format!("the client certificate of {}", named(certificate.subject_name()));
        out_of_time(&certificate, &what)
    }
}

fn facts(protocol: &str, certificate: &X509Ref) -> Handshake {
    Handshake {
        protocol: protocol.to_owned(),
        subject: named(certificate.subject_name()),
        issuer: named(certificate.issuer_name()),
        not_before: time(certificate.not_before()),
        not_after: time(certificate.not_after()),
        names: names(certificate),
    }
}

fn objection_to(certificate: &X509Ref, why: X509VerifyResult, depth: u32, host: &str, target: &str) -> Error {
    let subject = named(certificate.subject_name());
    let what = if depth == 0 {
        format!("the certificate of {target} ({subject})")
    } else {
        format!("the certificate of the authority {subject}, which {target} shows,")
    };
    if let Some(error) = out_of_time(certificate, &what) {
        return error;
    }
    let text = why.error_string();
    if text.contains("mismatch") {
        let names = names(certificate).join(", ");
        let names = if names.is_empty() { "no host".to_owned() } else { names };
        return Error::new(
            ErrorCode::UntrustedCertificate,
            format!("{what} is for {names} and not for {host}"),
        )
        .advice(
            "Use a host name that the certificate is for, or give the backend one that names this host.",
        );
    }
    let message = format!("{what} is not trusted; it was issued by {}", named(certificate.issuer_name()));
    Error::new(ErrorCode::UntrustedCertificate, message).backend(text)
}

fn untrusted(why: X509VerifyResult, target: &str) -> Error {
    Error::new(ErrorCode::UntrustedCertificate, format!("the certificate of {target} is not trusted"))
        .backend(why.error_string())
}

fn out_of_time(certificate: &X509Ref, what: &str) -> Option<Error> {
    let now = Asn1Time::days_from_now(0).ok()?;
    let (from, until) = (certificate.not_before(), certificate.not_after());
    let message = if until < now {
        format!("{what} has expired: it was valid until {until}")
    } else if from > now {
        format!("{what} is not valid yet: it will be from {from}")
    } else {
        return None;
    };
    Some(Error::new(ErrorCode::ExpiredCertificate, message))
}

/// `CN=broker, O=Example`.
fn named(name: &X509NameRef) -> String {
    let part = |entry: &openssl::x509::X509NameEntryRef| {
        let kind = entry.object().nid().short_name().unwrap_or("?");
        entry.data().to_string().ok().map(|text| format!("{kind}={text}"))
    };
    let parts: Vec<_> = name.entries().filter_map(part).collect();
    if parts.is_empty() { "no name".to_owned() } else { parts.join(", ") }
}

fn names(certificate: &X509Ref) -> Vec<String> {
    let Some(names) = certificate.subject_alt_names() else { return Vec::new() };
    let address = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
        _ => <[u8; 16]>::try_from(bytes).ok().map(|bytes| std::net::IpAddr::from(bytes).to_string()),
    };
    let name = |name: &openssl::x509::GeneralNameRef| {
        name.dnsname().map(str::to_owned).or_else(|| name.ipaddress().and_then(address))
    };
    names.iter().filter_map(name).collect()
}

fn time(time: &Asn1TimeRef) -> SystemTime {
    const DAY: u64 = 24 * 60 * 60;
    let since = Asn1Time::from_unix(0).and_then(|epoch| epoch.diff(time));
    let Ok(since) = since else { return SystemTime::UNIX_EPOCH };
    let days = u64::try_from(since.days).unwrap_or_default();
    let seconds = u64::try_from(since.secs).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(days * DAY + seconds)
}

/// An IPv6 address stands in brackets before a port.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn closed(target: &str) -> Error {
    Error::new(ErrorCode::Unavailable, format!("{target} closed the connection"))
}

fn timed_out(message: &str) -> Error {
    Error::new(ErrorCode::Timeout, message.to_owned())
}

/// A TCP connection as OpenSSL wants it: what would wait says so.
struct Waitless(TcpStream);

impl Read for Waitless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Waitless {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.try_write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
