//! Where a sidecar listens: the texts of `DAPR_GRPC_ENDPOINT` and `DAPR_HTTP_ENDPOINT`.
//!
//! The grammar for gRPC is that of Dapr's SDKs: `[scheme:[//authority/]]host[:port][?tls=true|false]` with the schemes
//! `dns` (as without one), `unix`, `unix-abstract`, and the old `http`, `https`, `grpc` and `grpcs`. Without a port it
//! is 443, and without a host `localhost`. For HTTP it is a URL, or a socket as for gRPC.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use crate::error::{Error, ErrorCode, Result};

const GRPC_PORT: u16 = 443;

/// What is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A name or an address, IPv6 without brackets.
    Tcp { host: String, port: u16 },
    /// The path of a socket.
    Unix(PathBuf),
    /// The name of a socket that has no file; Linux only.
    UnixAbstract(String),
}

/// A place and whether the connection is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) place: Place,
    pub(crate) tls: bool,
}

impl Endpoint {
    /// A port of this machine.
    pub(crate) fn local(port: u16) -> Self {
        Self { place: Place::Tcp { host: "127.0.0.1".to_owned(), port }, tls: false }
    }

    /// Reads the text of an endpoint for gRPC.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` with what is wrong.
    pub(crate) fn grpc(text: &str) -> Result<Self> {
        let wrong = |what: &str| invalid(text, what);
        let (rest, asked_tls) = match text.split_once('?') {
            None => (text, None),
            Some((rest, query)) => (rest, Some(tls_of(query).map_err(|what| wrong(&what))?)),
        };
        let (scheme, rest) = scheme_of(rest);
        if let Some(place) = socket(scheme, rest).map_err(wrong)? {
            return Ok(Self { place, tls: asked_tls.unwrap_or(false) });
        }
        // A password must not stand in the error.
        if rest.contains('@') {
            return Err(wrong("a user and a password have no meaning here"));
        }
        let tls = match (scheme, asked_tls) {
            ("dns", asked) => asked.unwrap_or(false),
            ("http" | "https" | "grpc" | "grpcs", Some(_)) => {
                return Err(wrong("the scheme says whether it is TLS, and ?tls= says so again"));
            }
            ("http" | "grpc", None) => false,
            ("https" | "grpcs", None) => true,
            ("vsock", _) => return Err(wrong("vsock is not supported")),
            _ => return Err(wrong("unknown scheme; known are dns, unix, unix-abstract, http and https")),
        };
        let rest = match (scheme, rest.strip_prefix("//")) {
            // The first part names a server of names, and the system's own are asked anyway.
            ("dns", Some(with_authority)) => {
                with_authority.split_once('/').map(|(_, host)| host).ok_or_else(|| {
                    wrong(
                        "after dns:// comes a server of names and a slash; for the system's, write dns:host",
                    )
                })?
            }
            (_, Some(host)) => host.strip_suffix('/').unwrap_or(host),
            (_, None) => rest,
        };
        let place = host_and_port(rest, GRPC_PORT).map_err(|what| wrong(&what))?;
        Ok(Self { place, tls })
    }

    /// Reads the text of an endpoint for HTTP.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` with what is wrong.
    pub(crate) fn http(text: &str) -> Result<Self> {
        let wrong = |what: &str| invalid(text, what);
        if text.contains(['?', '#', '@']) {
            return Err(wrong("expected http://host:port, without user, query or fragment"));
        }
        let (scheme, rest) = scheme_of(text);
        if let Some(place) = socket(scheme, rest).map_err(wrong)? {
            return Ok(Self { place, tls: false });
        }
        let (tls, port) = match scheme {
            "http" => (false, 80),
            "https" => (true, 443),
            _ => return Err(wrong("expected http://host:port or https://host:port")),
        };
        let rest = rest.strip_prefix("//").ok_or_else(|| wrong("expected // after the scheme"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let place = host_and_port(rest, port).map_err(|what| wrong(&what))?;
        Ok(Self { place, tls })
    }
}

/// As users write it.
impl Display for Endpoint {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp { host, port } if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Place::Tcp { host, port } => write!(formatter, "{host}:{port}"),
            Place::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Place::UnixAbstract(name) => write!(formatter, "unix-abstract:{name}"),
        }
    }
}

fn invalid(text: &str, what: &str) -> Error {
    // Before an @ may stand a password.
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    Error::new(ErrorCode::InvalidOptions, format!("the address {text:?} of a sidecar cannot be used: {what}"))
}

/// The scheme and what follows its colon; `dns` where there is none.
fn scheme_of(text: &str) -> (&str, &str) {
    match text.split_once(':') {
        // A port follows the colon: what stands before it is a host.
        Some((before, after))
            if !before.is_empty()
                && before.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                && !after.bytes().next().is_some_and(|first| first.is_ascii_digit())
                && !after.is_empty() =>
        {
            (before, after)
        }
        // Sockets may have names that begin with a digit.
        Some((before @ ("unix" | "unix-abstract" | "dns" | "vsock"), after)) => (before, after),
        _ => ("dns", text),
    }
}

fn socket(scheme: &str, rest: &str) -> Result<Option<Place>, &'static str> {
    let place = match scheme {
        "unix" => Place::Unix(PathBuf::from(rest.strip_prefix("//").unwrap_or(rest))),
        "unix-abstract" => Place::UnixAbstract(rest.to_owned()),
        _ => return Ok(None),
    };
    if rest.trim_start_matches('/').is_empty() {
        return Err("a socket has a name");
    }
    Ok(Some(place))
}

fn tls_of(query: &str) -> Result<bool, String> {
    match query.split_once('=') {
        Some(("tls", "true")) => Ok(true),
        Some(("tls", "false")) => Ok(false),
        Some(("tls", other)) => Err(format!("tls: expected true or false, got {other:?}")),
        _ => Err("after the question mark only tls=true or tls=false may stand".to_owned()),
    }
}

fn host_and_port(text: &str, default_port: u16) -> Result<Place, String> {
    if text.contains('/') {
        return Err("a path has no meaning here".to_owned());
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or("a bracket is not closed")?;
            let address: Result<std::net::Ipv6Addr, _> = host.parse();
            address.map_err(|_| format!("{host:?} is no IPv6 address"))?;
            (
                host,
                if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or("expected a port")?) },
            )
        }
        None => match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address stands in brackets".to_owned());
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        None => default_port,
        Some(port) => {
            port.parse().ok().filter(|port| *port > 0).ok_or_else(|| format!("{port:?} is no port"))?
        }
    };
    let host = if host.is_empty() { "localhost" } else { host };
    if host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(format!("{host:?} is no host"));
    }
    Ok(Place::Tcp { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(endpoint: Result<Endpoint>) -> String {
        match endpoint {
            Ok(endpoint) if endpoint.tls => format!("{endpoint} tls"),
            Ok(endpoint) => endpoint.to_string(),
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::InvalidOptions);
                "error".to_owned()
            }
        }
    }

    #[test]
    fn endpoints_for_grpc_are_read_as_by_daprs_sdks() {
        for (text, expected) in [
            (":5000", "localhost:5000"),
            (":5000?tls=false", "localhost:5000"),
            (":5000?tls=true", "localhost:5000 tls"),
            ("myhost", "myhost:443"),
            ("myhost?tls=true", "myhost:443 tls"),
            ("myhost:443", "myhost:443"),
            ("myhost:443?tls=true", "myhost:443 tls"),
            ("http://myhost", "myhost:443"),
            ("http://myhost?tls=true", "error"),
            ("http://myhost:443?tls=false", "error"),
            ("http://myhost:5000", "myhost:5000"),
            ("https://myhost:443", "myhost:443 tls"),
            ("https://myhost:443?tls=true", "error"),
            ("dns:myhost", "myhost:443"),
            ("dns:127.0.0.1:9000", "127.0.0.1:9000"),
            ("dns:myhost?tls=true", "myhost:443 tls"),
            ("dns://myauthority:53/myhost", "myhost:443"),
            ("dns://myauthority:53/myhost?tls=true", "myhost:443 tls"),
            ("dns://myhost", "error"),
            ("unix:my.sock", "unix:my.sock"),
            ("unix:7.sock", "unix:7.sock"),
            ("unix:my.sock?tls=true", "unix:my.sock tls"),
            ("unix://my.sock", "unix:my.sock"),
            ("unix:///run/my.sock", "unix:/run/my.sock"),
            ("unix-abstract:my.sock", "unix-abstract:my.sock"),
            ("unix:", "error"),
            ("vsock:mycid", "error"),
            ("[2001:db8:1f70::999:de8:7648:6e8]", "[2001:db8:1f70::999:de8:7648:6e8]:443"),
            ("dns:[2001:db8::1]:5000", "[2001:db8::1]:5000"),
            ("dns://myauthority:53/[2001:db8::1]", "[2001:db8::1]:443"),
            ("https://[2001:db8::1]:5000", "[2001:db8::1]:5000 tls"),
            ("2001:db8::1", "error"),
            ("[2001:db8::1", "error"),
            ("[nonsense]:1", "error"),
            ("host:5000/v1", "error"),
            ("host:5000/?a=b", "error"),
            ("host?tls=maybe", "error"),
            ("host:0", "error"),
            ("host:65536", "error"),
            ("inv-scheme://myhost", "error"),
            ("two words:1", "error"),
        ] {
            assert_eq!(shown(Endpoint::grpc(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_password_is_not_told() {
        for text in ["https://user:secret@myhost", "user:secret@myhost:5000", "[user:secret@::1]:1"] {
            for read in [Endpoint::grpc(text), Endpoint::http(text)] {
                let told = read.expect_err(text).to_string();
                assert!(!told.contains("secret"), "{told}");
            }
        }
    }

    #[test]
    fn endpoints_for_http_are_urls_or_sockets() {
        for (text, expected) in [
            ("http://localhost:3500", "localhost:3500"),
            ("http://localhost:3500/", "localhost:3500"),
            ("http://myhost", "myhost:80"),
            ("https://myhost", "myhost:443 tls"),
            ("https://[::1]:3501", "[::1]:3501 tls"),
            ("unix:/run/dapr-app-http.socket", "unix:/run/dapr-app-http.socket"),
            ("http://user:secret@myhost", "error"),
            ("http://myhost/v1.0", "error"),
            ("http://myhost?a=b", "error"),
            ("http:myhost", "error"),
            ("myhost:3500", "error"),
            ("ftp://myhost", "error"),
        ] {
            assert_eq!(shown(Endpoint::http(text)), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_shown_is_read_again(text in "\\PC{0,40}|[a-z:/\\[\\]?=.0-9]{0,40}") {
            let _ = Endpoint::http(&text);
            if let Ok(endpoint) = Endpoint::grpc(&text)
                && let Place::Tcp { .. } = endpoint.place
            {
                let again = Endpoint::grpc(&endpoint.to_string());
                prop_assert_eq!(again.map(|again| again.place).ok(), Some(endpoint.place));
            }
        }
    }
}
