//! Where a client's sidecar is, and how it is spoken to: what the program says, else what the environment says.

use std::path::PathBuf;

use super::TransportKind;
use super::attempt::Repeats;
use super::endpoint::Endpoint;
use crate::error::{Error, ErrorCode, Result};
use crate::settings::Secret;
use crate::tls::Tls;

/// As Dapr's sidecar accepts it when nobody raises it.
const MAX_MESSAGE_SIZE: usize = 4 << 20;
const GRPC_PORT: u16 = 50_001;
const HTTP_PORT: u16 = 3_500;

/// How a client reaches its sidecar. What is left out comes from the environment, whose names are those of Dapr's SDKs.
#[derive(Debug, Clone, Default)]
pub struct SidecarOptions {
    /// Where the sidecar listens: for gRPC `[scheme:]host[:port][?tls=true]` with the schemes `dns`, `unix` and
    /// `unix-abstract`, or a URL; for HTTP a URL, or `unix:` and a path. Left out: `DAPR_GRPC_ENDPOINT`, else
    /// `DAPR_GRPC_PORT` on 127.0.0.1, else 50001; for HTTP `DAPR_HTTP_ENDPOINT`, `DAPR_HTTP_PORT` and 3500.
    pub endpoint: Option<String>,
    /// The token that the sidecar asks for. Left out: `DAPR_API_TOKEN`.
    pub token: Option<Secret>,
    /// A file with the certificates of the authorities to trust (PEM), instead of this machine's. Left out:
    /// `BINDWRIGHT_SIDECAR_CA`.
    pub ca_file: Option<PathBuf>,
    /// The largest message in bytes, in both directions; 4 MiB when nothing says otherwise. Left out:
    /// `BINDWRIGHT_MAX_MESSAGE_SIZE`, else `DAPR_GRPC_MAX_INBOUND_MESSAGE_SIZE_BYTES`. The sidecar has a limit of its own,
    /// `--max-body-size`.
    pub max_message_size: Option<usize>,
    /// How often a call whose connection broke is made again although it may have taken effect; a negative number is
    /// no bound but the deadline. Left out: `DAPR_API_MAX_RETRIES`, else 0. What was certainly not sent is always sent
    /// again.
    pub max_retries: Option<i64>,
    /// The port of this program on which the sidecar delivers events. Left out: `APP_PORT`. Opened at the first
    /// subscription, on `APP_CHANNEL_ADDRESS` or 127.0.0.1.
    pub app_port: Option<u16>,
    /// The token that the sidecar shows with every event. Left out: `APP_API_TOKEN`; without one nothing is asked for.
    pub app_token: Option<Secret>,
}

/// What counts for one client.
pub(crate) struct Settings {
    pub(super) endpoint: Endpoint,
    pub(super) token: Option<Secret>,
    ca_file: Option<PathBuf>,
    pub(super) max_message_size: usize,
    pub(super) repeats: Repeats,
    pub(super) app_port: Option<u16>,
    pub(super) app_address: String,
    pub(super) app_token: Option<Secret>,
}

impl Settings {
    /// `variable` looks into the environment.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` naming the option or the variable that cannot be used.
    pub(crate) fn new(
        kind: TransportKind,
        options: SidecarOptions,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let is_http = kind == TransportKind::SidecarHttp;
        let (of_endpoint, of_port, port) = if is_http {
            ("DAPR_HTTP_ENDPOINT", "DAPR_HTTP_PORT", HTTP_PORT)
        } else {
            ("DAPR_GRPC_ENDPOINT", "DAPR_GRPC_PORT", GRPC_PORT)
        };
        let endpoint = match options.endpoint.or_else(|| variable(of_endpoint)) {
            Some(text) if is_http => Endpoint::http(&text)?,
            Some(text) => Endpoint::grpc(&text)?,
            None => Endpoint::local(number(&variable, of_port)?.unwrap_or(port)),
        };
        let of_size = "BINDWRIGHT_MAX_MESSAGE_SIZE";
        let size = match options.max_message_size {
            Some(size) => Some(size),
            None => match number(&variable, of_size)? {
                Some(size) => Some(size),
                None => number(&variable, "DAPR_GRPC_MAX_INBOUND_MESSAGE_SIZE_BYTES")?,
            },
        };
        if size == Some(0) {
            let message = "max_message_size: expected at least 1 byte";
            return Err(Error::new(ErrorCode::InvalidOptions, message));
        }
        let repeats = match options.max_retries {
            Some(most) => Some(most),
            None => number(&variable, "DAPR_API_MAX_RETRIES")?,
        };
        let app_port = match options.app_port {
            Some(0) => {
                let message = "app_port: expected 1 to 65535, got 0";
                return Err(Error::new(ErrorCode::InvalidOptions, message));
            }
            Some(port) => Some(port),
            // Dapr's word for an application that receives nothing.
            None => number(&variable, "APP_PORT")?.filter(|port| *port != 0),
        };
        let secret = |given: Option<Secret>, name: &str| given.or_else(|| variable(name).map(Secret::new));
        Ok(Self {
            endpoint,
            token: secret(options.token, "DAPR_API_TOKEN"),
            ca_file: options.ca_file.or_else(|| variable("BINDWRIGHT_SIDECAR_CA").map(PathBuf::from)),
            max_message_size: size.unwrap_or(MAX_MESSAGE_SIZE),
            repeats: Repeats::new(repeats.unwrap_or(0)),
            app_port,
            app_address: variable("APP_CHANNEL_ADDRESS").unwrap_or_else(|| "127.0.0.1".to_owned()),
            app_token: secret(options.app_token, "APP_API_TOKEN"),
        })
    }

    /// What encrypted connections trust.
    ///
    /// # Errors
    /// `INVALID_OPTIONS` for a file that cannot be read.
    pub(super) fn tls(&self) -> Result<Tls> {
        let Some(file) = &self.ca_file else { return Ok(Tls::default()) };
        let authorities = std::fs::read_to_string(file).map_err(|error| {
            let message = format!("the certificates in {} cannot be read", file.display());
            Error::new(ErrorCode::InvalidOptions, message)
                .backend(error.to_string())
                .advice("Correct `sidecar_ca` or BINDWRIGHT_SIDECAR_CA.")
        })?;
        Ok(Tls { authorities: Some(authorities), ..Tls::default() })
    }
}

fn number<N: std::str::FromStr>(variable: impl Fn(&str) -> Option<String>, name: &str) -> Result<Option<N>> {
    let Some(text) = variable(name) else { return Ok(None) };
    text.trim().parse().map(Some).map_err(|_| {
        Error::new(ErrorCode::InvalidOptions, format!("{name}: expected a number, got {text:?}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(kind: TransportKind, variables: &[(&str, &str)]) -> Result<Settings> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::new(kind, SidecarOptions::default(), variable)
    }

    #[test]
    fn an_endpoint_stands_before_a_port_and_a_port_before_what_is_usual() {
        use TransportKind::{SidecarGrpc, SidecarHttp};
        for (kind, variables, expected) in [
            (SidecarGrpc, &[][..], "127.0.0.1:50001"),
            (SidecarHttp, &[], "127.0.0.1:3500"),
            (SidecarGrpc, &[("DAPR_GRPC_PORT", "7"), ("DAPR_HTTP_PORT", "8")], "127.0.0.1:7"),
            (SidecarHttp, &[("DAPR_GRPC_PORT", "7"), ("DAPR_HTTP_PORT", "8")], "127.0.0.1:8"),
            (SidecarGrpc, &[("DAPR_GRPC_PORT", "7"), ("DAPR_GRPC_ENDPOINT", "there:9")], "there:9"),
            (SidecarHttp, &[("DAPR_HTTP_PORT", "7"), ("DAPR_HTTP_ENDPOINT", "http://there")], "there:80"),
        ] {
            let found = settings(kind, variables).map(|settings| settings.endpoint.to_string());
            assert_eq!(found.expect("settings"), expected, "{variables:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (name, value) in [
            ("DAPR_GRPC_PORT", "http"),
            ("DAPR_GRPC_PORT", "70000"),
            ("APP_PORT", "-1"),
            ("DAPR_API_MAX_RETRIES", "many"),
            ("BINDWRIGHT_MAX_MESSAGE_SIZE", "4Mi"),
        ] {
            let error = settings(TransportKind::SidecarGrpc, &[(name, value)]).err().expect("refused");
            assert_eq!(error.code(), ErrorCode::InvalidOptions);
            assert!(error.message().starts_with(name), "{error}");
        }
    }

    #[test]
    fn no_port_is_the_environments_to_say() {
        let found = settings(TransportKind::SidecarGrpc, &[("APP_PORT", "0")]).expect("settings");
        assert_eq!(found.app_port, None);
        let options = SidecarOptions { app_port: Some(0), ..SidecarOptions::default() };
        let error = Settings::new(TransportKind::SidecarGrpc, options, |_| None).err().expect("refused");
        assert_eq!(error.message(), "app_port: expected 1 to 65535, got 0");
    }

    #[test]
    fn tokens_are_not_shown() {
        let options = SidecarOptions { token: Some(Secret::new("hunter2")), ..SidecarOptions::default() };
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}
