//! Connections to a sidecar: TCP or a Unix socket, encrypted or not.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_openssl::client::legacy::HttpsConnector;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tower_service::Service;

use super::attempt::Watched;
use super::endpoint::{Endpoint, Place};
use super::tasks::Tasks;
use crate::error::{Error, ErrorCode, Result};
use crate::tls::Tls;

/// A connection on which nothing comes for so long is asked whether it still stands.
const SILENCE: Duration = Duration::from_secs(10);
/// Of an answer: the metadata of a reply and the texts of errors come in headers.
const LARGEST_HEADERS: u32 = 1 << 20;
/// How long one address may take to answer while there are others.
const ONE_OF_SEVERAL: Duration = Duration::from_secs(2);
/// Unused connections are closed before servers usually do: a call that meets their end would have an unknown outcome.
const UNUSED: Duration = Duration::from_secs(5);

/// What speaks HTTP to the sidecar, with bodies of this kind.
pub(super) type HttpClient<B> = Client<HttpsConnector<Connector>, Watched<B>>;

/// Makes the client. `http2` also says what is offered where the connection is encrypted.
///
/// # Errors
/// `INVALID_OPTIONS` when the certificates of authorities cannot be used.
pub(super) fn client<B>(endpoint: &Endpoint, tls: &Tls, http2: bool) -> Result<HttpClient<B>>
where
    B: http_body::Body + Send + Unpin,
    B::Data: Send,
{
    let unfit = |text: String| Error::new(ErrorCode::InvalidOptions, "TLS cannot be set up").backend(text);
    let mut ssl = tls.connector().map_err(|error| unfit(error.to_string()))?;
    let offered: &[u8] = if http2 { b"\x02h2" } else { b"\x08http/1.1" };
    ssl.set_alpn_protos(offered).map_err(|error| unfit(error.to_string()))?;
    let connector = HttpsConnector::with_connector(Connector(endpoint.place.clone()), ssl)
        .map_err(|error| unfit(error.to_string()))?;
    let mut builder: Builder = Client::builder(Tasks::new()?);
    builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new()).http2_only(http2);
    if !http2 {
        builder.pool_idle_timeout(UNUSED);
    }
    builder.http2_max_header_list_size(LARGEST_HEADERS);
    // Small windows would stop a large message again and again.
    builder.http2_initial_stream_window_size(1 << 20).http2_initial_connection_window_size(4 << 20);
    Ok(builder.build(connector))
}

/// The base of all addresses: scheme and authority.
///
/// # Errors
/// `INVALID_OPTIONS` for a host that cannot stand in an address.
pub(super) fn origin(endpoint: &Endpoint) -> Result<Uri> {
    let scheme = if endpoint.tls { "https" } else { "http" };
    let text = match &endpoint.place {
        Place::Tcp { .. } => format!("{scheme}://{endpoint}"),
        Place::Unix(_) | Place::UnixAbstract(_) => format!("{scheme}://localhost"),
    };
    text.parse().map_err(|error: http::uri::InvalidUri| {
        let message = format!("the address {endpoint} of a sidecar cannot be used");
        Error::new(ErrorCode::InvalidOptions, message).backend(error.to_string())
    })
}

/// Connects to one place, whatever the address of a request says.
#[derive(Clone)]
pub(super) struct Connector(Place);

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let place = self.0.clone();
        Box::pin(async move { connect(&place).await.map(TokioIo::new) })
    }
}

async fn connect(place: &Place) -> io::Result<Stream> {
    match place {
        Place::Tcp { host, port } => {
            let stream = reach(host, *port).await?;
            // A call waits for its answer: gathering bytes would only add time.
            stream.set_nodelay(true)?;
            notice_silence(&stream)?;
            Ok(Stream::Tcp(stream))
        }
        Place::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        Place::UnixAbstract(name) => abstract_socket(name),
    }
}

/// Connects to the first address of a host that answers. One that swallows everything hides none behind it.
async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut addresses = tokio::net::lookup_host((host, port)).await?.peekable();
    let mut trouble = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
    while let Some(address) = addresses.next() {
        let connecting = TcpStream::connect(address);
        let connected = if addresses.peek().is_some() {
            let late = || io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer"));
            tokio::time::timeout(ONE_OF_SEVERAL, connecting).await.unwrap_or_else(|_| Err(late()))
        } else {
            connecting.await
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => trouble = error,
        }
    }
    Err(trouble)
}

/// A sidecar elsewhere that vanished without a word would otherwise keep a connection for a quarter of an hour, and
/// every call on it. Not by pings of HTTP/2: servers that follow gRPC's rules end connections that ping often.
fn notice_silence(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 4))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE * 2))?;
    Ok(())
}

#[cfg(target_os = "linux")]
fn abstract_socket(name: &str) -> io::Result<Stream> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixStream as Blocking};
    let address = SocketAddr::from_abstract_name(name)?;
    let stream = Blocking::connect_addr(&address)?;
    stream.set_nonblocking(true)?;
    Ok(Stream::Unix(UnixStream::from_std(stream)?))
}

#[cfg(not(target_os = "linux"))]
fn abstract_socket(_: &str) -> io::Result<Stream> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no abstract sockets"))
}

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, data),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_cannot_stand_in_an_address_is_refused() {
        assert_eq!(
            origin(&Endpoint::http("http://[::1]:7").expect("an address")).expect("usable"),
            "http://[::1]:7"
        );
        let odd = Endpoint::http("http://b\u{fc}cher:3500").and_then(|endpoint| origin(&endpoint));
        assert_eq!(odd.expect_err("refused").code(), ErrorCode::InvalidOptions);
    }

    #[tokio::test]
    async fn a_host_is_reached_by_the_address_that_answers() {
        // Of the addresses of localhost only one is listened on.
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        reach("localhost", port).await.expect("a connection");
        drop(listener);
        reach("localhost", port).await.expect_err("nobody listens");
    }
}
