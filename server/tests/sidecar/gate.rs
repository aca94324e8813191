//! What stands between a client and a server: it encrypts, listens elsewhere, or breaks.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use hyper_openssl::SslStream;
use hyper_util::rt::TokioIo;
use openssl::ssl::{AlpnError, Ssl, SslAcceptor, SslContext, SslMethod, select_next_proto};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, copy, copy_bidirectional, split};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::{JoinHandle, JoinSet};

use super::certificates::Pair;

/// Ends with its connections when dropped.
pub struct Gate {
    pub port: u16,
    task: JoinHandle<()>,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The address in `http://host:port`.
pub fn address(base: &str) -> SocketAddr {
    base.strip_prefix("http://").unwrap().parse().unwrap()
}

impl Gate {
    async fn new<F: Future<Output = ()> + Send + 'static>(
        attend: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                connections.spawn(attend(listener.accept().await.unwrap().0));
            }
        });
        Self { port, task }
    }

    /// Speaks TLS for a server that does not.
    pub async fn encrypting(to: SocketAddr, pair: &Pair) -> Self {
        let context = context(pair);
        Self::new(move |stream| {
            let ssl = Ssl::new(&context).unwrap();
            async move {
                let mut stream = SslStream::new(ssl, TokioIo::new(stream)).unwrap();
                if Pin::new(&mut stream).accept().await.is_ok() {
                    let mut server = TcpStream::connect(to).await.unwrap();
                    let _ = copy_bidirectional(&mut TokioIo::new(stream), &mut server).await;
                }
            }
        })
        .await
    }

    /// Lets so many bytes of the answers on a connection pass, and then cuts it.
    pub async fn cutting(to: SocketAddr, after: u64) -> Self {
        Self::new(
            move |stream| async move { forward(stream, TcpStream::connect(to).await.unwrap(), after).await },
        )
        .await
    }

    /// Takes everything and answers nothing.
    pub async fn silent() -> Self {
        Self::new(|mut stream| async move {
            let _ = copy(&mut stream, &mut tokio::io::sink()).await;
        })
        .await
    }

    /// Answers every request with these bytes and hangs up.
    pub async fn answering(bytes: &'static [u8]) -> Self {
        Self::new(move |mut stream| async move {
            let mut request = vec![0; 65_536];
            if stream.read(&mut request).await.is_ok() {
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, bytes).await;
            }
        })
        .await
    }

    /// Listens on a socket without a file.
    #[cfg(target_os = "linux")]
    pub fn on_abstract_socket(name: &str, to: SocketAddr) -> Self {
        use std::os::linux::net::SocketAddrExt as _;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
        let listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = UnixListener::from_std(listener).unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let mut server = TcpStream::connect(to).await.unwrap();
                    let _ = copy_bidirectional(&mut stream, &mut server).await;
                });
            }
        });
        Self { port: 0, task }
    }
}

async fn forward(client: impl AsyncRead + AsyncWrite, server: TcpStream, after: u64) {
    let (mut from_client, mut to_client) = split(client);
    let (from_server, mut to_server) = split(server);
    let mut from_server = from_server.take(after);
    tokio::select! {
        _ = copy(&mut from_server, &mut to_client) => {}
        _ = copy(&mut from_client, &mut to_server) => {}
    }
}

/// Of a server that speaks what the client offers.
fn context(pair: &Pair) -> Arc<SslContext> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
    let key = openssl::pkey::PKey::private_key_from_pem(pair.key.as_bytes()).unwrap();
    let certificate = openssl::x509::X509::from_pem(pair.certificate.as_bytes()).unwrap();
    builder.set_private_key(&key).unwrap();
    builder.set_certificate(&certificate).unwrap();
    builder.set_alpn_select_callback(|_, offered| {
        select_next_proto(b"\x02h2\x08http/1.1", offered).ok_or(AlpnError::NOACK)
    });
    Arc::new(builder.build().into_context())
}
