//! TLS to the application. As with Dapr its certificate is not checked: it is this machine's own.

use std::time::Duration;

use hyper_openssl::client::legacy::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};

/// Connects to `http` and `https` addresses; `protocols` is what to offer within TLS, each behind its length.
pub(super) fn connector(
    protocols: &[u8],
    patience: Duration,
) -> Result<HttpsConnector<HttpConnector>, String> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(patience));
    let told = |error: openssl::error::ErrorStack| format!("TLS cannot be set up: {error}");
    let mut tls = SslConnector::builder(SslMethod::tls_client()).map_err(told)?;
    tls.set_verify(SslVerifyMode::NONE);
    tls.set_alpn_protos(protocols).map_err(told)?;
    let mut connector = HttpsConnector::with_connector(tcp, tls).map_err(told)?;
    connector.set_callback(|connection, _| {
        connection.set_verify_hostname(false);
        Ok(())
    });
    Ok(connector)
}
