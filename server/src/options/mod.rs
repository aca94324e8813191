//! What `bindwright serve` can be told: the flags of daprd that apply, by their names and with their defaults.
//!
//! Where Dapr listens on every interface, this listens on loopback until `--dapr-listen-addresses` says otherwise.
//! Tokens come from the environment only, so that no list of processes shows them. Of a flag that is given twice the last
//! one counts, unless it is a list; `values.rs` reads values, `elsewhere.rs` has the flags about what is not here.

mod elsewhere;
#[cfg(test)]
mod tests;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use bindwright::component::Secret;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, ValueEnum};

use crate::configuration::Configuration;
pub use elsewhere::Elsewhere;
pub use values::MaxBodySize;
use values::{byte_size, max_body_size, options_timeout, time_span};

/// How the application is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AppProtocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS; any certificate is taken.
    Https,
    /// HTTP/2 without TLS.
    H2c,
    /// gRPC: the service `AppCallback`.
    Grpc,
    /// The same over TLS; any certificate is taken.
    Grpcs,
}

impl AppProtocol {
    /// The spelling of `--app-protocol`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
        }
    }
}

/// What a server is started with. Names and defaults are those of Dapr unless said otherwise.
#[derive(Debug, Clone, Args)]
#[allow(clippy::doc_markdown, clippy::struct_excessive_bools)] // help texts; flags
pub struct Options {
    /// Whose components these are: what `scopes` in their documents name
    #[arg(long, short = 'a', value_name = "ID", env = "APP_ID")]
    pub app_id: Option<String>,
    /// The port of the application that receives events; without one, nothing is received
    #[arg(long, short = 'p', value_name = "N")]
    pub app_port: Option<u16>,
    /// How the application is spoken to
    #[arg(long, short = 'P', value_enum, default_value = "http", ignore_case = true)]
    pub app_protocol: AppProtocol,
    /// Where the application listens
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub app_channel_address: String,
    /// The same as `--app-protocol https`
    #[arg(long, hide = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub app_ssl: bool,
    /// How many events and probes the application gets at once; 0 or less means no limit
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    pub app_max_concurrency: i64,
    /// Receive only while the application says that it is well
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_default_value = true, value_name = "BOOL")]
    pub enable_app_health_check: bool,
    /// Where it is asked
    #[arg(long, value_name = "PATH", default_value = "/healthz")]
    pub app_health_check_path: String,
    /// How often it is asked, in seconds
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub app_health_probe_interval: u32,
    /// How long its answer may take, in milliseconds; at most the interval
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub app_health_probe_timeout: u32,
    /// So many failures after each other mean that it is not well
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub app_health_threshold: u32,
    /// How long the application may take to say whether it wants the events of a binding
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = options_timeout)]
    pub app_binding_options_timeout: Duration,
    /// The port of the HTTP API; 0 takes a free one [default: 3500]
    #[arg(long, short = 'H', value_name = "N")]
    pub dapr_http_port: Option<u16>,
    /// The port of the gRPC API; 0 takes a free one [default: 50001]
    #[arg(long, short = 'G', value_name = "N")]
    pub dapr_grpc_port: Option<u16>,
    /// Another port for metadata and health, where no token is wanted
    #[arg(long, value_name = "N")]
    pub dapr_public_port: Option<u16>,
    /// The port of the metrics for Prometheus; 0 takes a free one [default: 9090, or none where that is taken]
    #[arg(long, value_name = "N")]
    pub metrics_port: Option<u16>,
    /// Tell metrics at all; a Configuration can switch them off as well [default: true]
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "true",
        default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_default_value = true, value_name = "BOOL")]
    pub enable_metrics: bool,
    /// The address of the metrics [default: those of the API]
    #[arg(long, value_name = "ADDRESS")]
    pub metrics_listen_address: Option<String>,
    /// Listen on Unix sockets in this folder, instead of the ports of the API: dapr-ID-http.socket and
    /// dapr-ID-grpc.socket, where ID is the app id
    #[arg(long, short = 'u', value_name = "FOLDER")]
    pub unix_domain_socket: Option<PathBuf>,
    /// The addresses to listen on, with commas between [default: 127.0.0.1 and, where there is one, ::1]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub dapr_listen_addresses: Vec<String>,
    /// A folder of component files, or one such file; may be given more than once [default: what
    /// BINDWRIGHT_RESOURCES names, else ./components, else ./resources, else none]
    #[arg(long, short = 'd', value_name = "PATH", value_delimiter = ',', alias = "resources")]
    pub resources_path: Vec<PathBuf>,
    /// The old name of `--resources-path`; counts where that is not given
    #[arg(long, value_name = "PATH", value_delimiter = ',', hide = true)]
    pub components_path: Vec<PathBuf>,
    /// A file with a Configuration; may be given more than once, what a later one says counts
    #[arg(long, short = 'c', value_name = "FILE", value_parser = Configuration::parse)]
    pub config: Vec<Configuration>,
    /// The most that the body of a request may have: 4Mi, 500k, …; -1 means the default, 0 no limit
    #[arg(long, value_name = "SIZE", default_value = "4Mi", value_parser = max_body_size, allow_hyphen_values = true)]
    pub max_body_size: MaxBodySize,
    /// The old name of `--max-body-size`, in MB; counts where that is not given
    #[arg(long, value_name = "MB", hide = true, allow_negative_numbers = true)]
    pub dapr_http_max_request_size: Option<i64>,
    /// The old name of `--read-buffer-size`, in KB; counts where that is not given
    #[arg(long, value_name = "KB", hide = true)]
    pub dapr_http_read_buffer_size: Option<u32>,
    /// The most that the headers of a request may have; HTTP/1 grants another 4Ki
    #[arg(long, value_name = "SIZE", default_value = "4Ki", value_parser = byte_size)]
    pub read_buffer_size: usize,
    /// Endpoints of the application that are not asked; of those that Dapr knows (`config`) none is asked here
    #[arg(long, value_name = "LIST", value_delimiter = ',', hide = true)]
    pub disable_init_endpoints: Vec<String>,
    /// How often Dapr compares everything with its files; here that is done every second, whatever this says
    #[arg(long, value_name = "TIME", value_parser = time_span, hide = true)]
    pub hot_reload_reconcile_interval: Option<Duration>,
    /// Where it runs; there is only one way
    #[arg(long, value_parser = ["standalone"], default_value = "standalone", hide = true)]
    pub mode: String,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub elsewhere: Elsewhere,
    /// How long the end may take when it was asked for: handlers finish, calls end
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub dapr_graceful_shutdown_seconds: u32,
    /// How long the API goes on after the end was asked for, while nothing more is received
    #[arg(long, value_name = "TIME", value_parser = time_span)]
    pub dapr_block_shutdown_duration: Option<Duration>,
    /// error, warn, info or debug
    #[arg(long, value_name = "LEVEL", default_value = "info", ignore_case = true,
        value_parser = ["error", "warn", "warning", "info", "debug", "fatal"])]
    pub log_level: String,
    /// Print log lines as JSON
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_default_value = true, value_name = "BOOL")]
    pub log_as_json: bool,
    /// Log every call of the API, as JSON
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value = "false",
        default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_default_value = true, value_name = "BOOL")]
    pub enable_api_logging: bool,
    /// Not Dapr's: how many connections each port takes at once; what comes beyond them is refused
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub max_connections: usize,
    /// Not Dapr's: the most that all requests and replies under way may hold together; what comes beyond is refused (503)
    #[arg(long, value_name = "SIZE", default_value = "256Mi", value_parser = byte_size)]
    pub max_request_memory: usize,
    /// Not Dapr's: how long a client may take to send its headers, to go on with its body or with taking a reply, and how
    /// long a connection of HTTP/1 may be idle
    #[arg(long, value_name = "TIME", default_value = "75s", value_parser = time_span)]
    pub slow_client_timeout: Duration,
    /// The token that callers of the API must show; from `DAPR_API_TOKEN` only.
    #[arg(skip = secret("DAPR_API_TOKEN"))]
    pub api_token: Option<Secret>,
    /// The token that the application is shown; from `APP_API_TOKEN` only.
    #[arg(skip = secret("APP_API_TOKEN"))]
    pub app_token: Option<Secret>,
}

impl Options {
    /// The folders and files of components, where any are named.
    pub(crate) fn resources(&self) -> Option<&Vec<PathBuf>> {
        [&self.resources_path, &self.components_path].into_iter().find(|paths| !paths.is_empty())
    }

    /// How the application is spoken to, the old flag included.
    pub fn protocol(&self) -> AppProtocol {
        match self.app_protocol {
            AppProtocol::Http if self.app_ssl => AppProtocol::Https,
            AppProtocol::Grpc if self.app_ssl => AppProtocol::Grpcs,
            other => other,
        }
    }

    /// The port of the HTTP API.
    pub fn http_port(&self) -> u16 {
        self.dapr_http_port.unwrap_or(3500)
    }

    /// The port of the gRPC API.
    pub fn grpc_port(&self) -> u16 {
        self.dapr_grpc_port.unwrap_or(50001)
    }

    /// The most of the application's work at once, where there is a limit.
    pub(crate) fn concurrency(&self) -> Option<usize> {
        usize::try_from(self.app_max_concurrency).ok().filter(|most| *most > 0)
    }

    /// The most that the body of a request may have, the old flag included; `None` for no limit.
    pub(crate) fn body_limit(&self) -> Option<usize> {
        match self.dapr_http_max_request_size {
            Some(size) if self.max_body_size == MaxBodySize::DEFAULT => match usize::try_from(size) {
                Err(_) => MaxBodySize::DEFAULT.0,
                Ok(size) => Some(size.saturating_mul(1 << 20)).filter(|size| *size > 0),
            },
            _ => self.max_body_size.0,
        }
    }

    /// The most that the headers of a request may have, the old flag included.
    pub(crate) fn header_limit(&self) -> usize {
        match self.dapr_http_read_buffer_size {
            Some(size) if self.read_buffer_size == 4 << 10 => (size as usize).saturating_mul(1 << 10),
            _ => self.read_buffer_size,
        }
    }

    /// What all Configurations say together.
    pub(crate) fn configuration(&self) -> Configuration {
        Configuration::together(&self.config)
    }

    /// What contradicts itself.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Some(port) = self.app_port.filter(|port| *port != 0) {
            for (flag, taken) in [("http", self.http_port()), ("grpc", self.grpc_port())] {
                if taken == port {
                    return Some(format!("--app-port: {port} is the port of --dapr-{flag}-port as well"));
                }
            }
        }
        if self.enable_app_health_check
            && u64::from(self.app_health_probe_timeout) > u64::from(self.app_health_probe_interval) * 1000
        {
            return Some(
                "--app-health-probe-timeout: expected at most the interval of the probes".to_owned(),
            );
        }
        if self.http_port() != 0 && self.http_port() == self.grpc_port() {
            return Some("--dapr-http-port and --dapr-grpc-port are the same".to_owned());
        }
        self.app_id
            .as_ref()
            .filter(|id| id.contains('.'))
            .map(|id| format!("--app-id: expected a text without dots, got {id:?}"))
    }
}

/// What a variable says; an empty one is none.
fn secret(variable: &str) -> Option<Secret> {
    std::env::var(variable).ok().filter(|text| !text.is_empty()).map(Secret::new)
}
