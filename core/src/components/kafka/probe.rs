//! Asks one broker by hand what keeps a component from using it, where the client library does not tell.
//!
//! Whoever is asked nothing more than the versions of its API answers anybody; so that question finds out what speaks
//! at a port, and whether a client certificate was accepted. Tests: `core/tests/kafka/security/`.

use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::error::{Error, ErrorCode, Result};
use crate::tls::Tls;
use crate::tls::probe::{self, Encrypted, Handshake};

/// `ApiVersions`, version 0: length, key, version, correlation id, no client id.
const WHICH_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255];
/// `Metadata`, version 1, of no topic: what only somebody who is logged in may ask.
const WHICH_BROKERS: [u8; 18] = [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 2, 255, 255, 0, 0, 0, 0];
/// Longer than any answer to these.
const LONGEST_ANSWER: usize = 1 << 20;

/// Connects with TLS as a component would, up to a broker's first answer.
///
/// # Errors
/// `UNAVAILABLE` and `TIMEOUT` where TCP or the name is at fault; `UNTRUSTED_CERTIFICATE`, `EXPIRED_CERTIFICATE` (the
/// broker's or our own), `UNAUTHENTICATED` when the broker refuses our certificate, `TLS_FAILED`.
pub(crate) async fn tls_probe(host: &str, port: u16, tls: &Tls, deadline: Instant) -> Result<Handshake> {
    encrypted(host, port, tls, deadline).await.map(|(handshake, _)| handshake)
}

/// What a broker is asked for: how the component would come to it.
pub(super) struct Approach<'a> {
    pub(super) tls: Option<&'a Tls>,
    /// It would log in; whether with success is not tried here.
    pub(super) logs_in: bool,
}

/// Whether a broker answers a component that comes like this.
///
/// # Errors
/// As [`tls_probe`]; `TLS_FAILED` also where only one side means to speak TLS, `UNAUTHENTICATED` where the broker wants
/// a login and there is none.
pub(super) async fn try_out(host: &str, port: u16, approach: &Approach<'_>, deadline: Instant) -> Result<()> {
    let target = format!("{host}:{port}");
    let refused = |error: Error| {
        if error.code() != ErrorCode::Unavailable {
            return error;
        }
        Error::new(ErrorCode::Unauthenticated, format!("{target} answers only clients that log in"))
            .advice("Set `authType` and what belongs to it, or use a port of the broker that wants no login.")
    };
    if let Some(tls) = approach.tls {
        let (_, mut stream) = encrypted(host, port, tls, deadline).await?;
        if !approach.logs_in {
            ask_encrypted(&mut stream, &WHICH_BROKERS, deadline).await.map_err(refused)?;
        }
        return Ok(());
    }
    let mut stream = tcp(host, port, deadline).await?;
    if let Err(error) = ask(&mut stream, &WHICH_VERSIONS, &target, deadline).await {
        return Err(if speaks_tls(host, port, deadline).await {
            Error::new(ErrorCode::TlsFailed, format!("{target} speaks TLS, and the component does not"))
                .advice("Set an `authType` other than none and leave `disableTls` out, or use the broker's other port.")
        } else {
            error
        });
    }
    if !approach.logs_in {
        ask(&mut stream, &WHICH_BROKERS, &target, deadline).await.map_err(refused)?;
    }
    Ok(())
}

async fn tcp(host: &str, port: u16, deadline: Instant) -> Result<TcpStream> {
    probe::connect(&probe::resolve(host, port, deadline).await?, deadline).await
}

async fn encrypted(host: &str, port: u16, tls: &Tls, deadline: Instant) -> Result<(Handshake, Encrypted)> {
    let tcp = tcp(host, port, deadline).await?;
    let shaken = async {
        let (handshake, mut stream) = probe::shake_hands(tcp, host, tls, deadline).await?;
        ask_encrypted(&mut stream, &WHICH_VERSIONS, deadline).await?;
        Ok::<_, Error>((handshake, stream))
    };
    let error = match shaken.await {
        Ok(shaken) => return Ok(shaken),
        Err(error) => error,
    };
    let vague = [ErrorCode::Unavailable, ErrorCode::Timeout, ErrorCode::TlsFailed].contains(&error.code());
    if vague && speaks_plainly(host, port, deadline).await {
        let message = format!("{host}:{port} does not speak TLS, and the component does");
        return Err(Error::new(ErrorCode::TlsFailed, message)
            .advice("Set `disableTls`, or use a port of the broker that speaks TLS."));
    }
    Err(error)
}

async fn speaks_plainly(host: &str, port: u16, deadline: Instant) -> bool {
    let Ok(mut stream) = tcp(host, port, deadline).await else { return false };
    ask(&mut stream, &WHICH_VERSIONS, host, deadline).await.is_ok()
}

async fn speaks_tls(host: &str, port: u16, deadline: Instant) -> bool {
    let Ok(stream) = tcp(host, port, deadline).await else { return false };
    let anybody = Tls { skip_verify: true, ..Tls::default() };
    match probe::shake_hands(stream, host, &anybody, deadline).await {
        Ok(_) => true,
        // An alert is an answer in TLS.
        Err(error) => error.backend_text().is_some_and(|text| text.contains("alert ")),
    }
}

async fn ask_encrypted(stream: &mut Encrypted, question: &[u8], deadline: Instant) -> Result<()> {
    let mut length = [0; 4];
    stream.exchange(question, &mut length, deadline).await?;
    let mut rest = vec![0; size(length)?];
    stream.exchange(&[], &mut rest, deadline).await
}

async fn ask(stream: &mut TcpStream, question: &[u8], target: &str, deadline: Instant) -> Result<()> {
    let conversation = async {
        stream.write_all(question).await?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).await?;
        let mut rest = vec![0; size(length).map_err(std::io::Error::other)?];
        stream.read_exact(&mut rest).await?;
        Ok::<_, std::io::Error>(())
    };
    match tokio::time::timeout_at(deadline.into(), conversation).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            let message = format!("{target} closed the connection without an answer");
            Err(Error::new(ErrorCode::Unavailable, message).backend(error.to_string()))
        }
        Err(_) => Err(Error::new(ErrorCode::Timeout, format!("{target} did not answer in time"))),
    }
}

/// The length that stands before an answer.
fn size(length: [u8; 4]) -> Result<usize> {
    let size = usize::try_from(i32::from_be_bytes(length)).ok().filter(|size| *size <= LONGEST_ANSWER);
    size.ok_or_else(|| Error::new(ErrorCode::Unavailable, "what answers is no Kafka broker"))
}
