//! How values are encoded, and where their schemas come from.

use std::time::Duration;

use http::Uri;

use super::raw::Raw;
use super::security::given;
use crate::error::{Error, Result};
use crate::settings::{CommaList, Secret};
use crate::tls::Tls;

/// How long the latest schema of a subject is kept.
const LATEST_TTL: Duration = Duration::from_mins(5);

/// What the settings say about schemas.
#[derive(Debug)]
pub(in crate::components::kafka) struct Schemas {
    pub(in crate::components::kafka) registry: Option<RegistrySettings>,
    /// Values are Avro where a call does not say otherwise, and are decoded on arrival.
    pub(in crate::components::kafka) avro_by_default: bool,
    /// Unions and decimals as Avro's own JSON has them.
    pub(in crate::components::kafka) avro_json: bool,
}

/// A schema registry: one or more addresses of the same one.
#[derive(Debug, Clone)]
pub(in crate::components::kafka) struct RegistrySettings {
    pub(in crate::components::kafka) addresses: Vec<RegistryAddress>,
    /// How long the latest schema of a subject is kept; zero asks each time.
    pub(in crate::components::kafka) latest_ttl: Duration,
    /// What the registry's certificate is checked with.
    pub(in crate::components::kafka) tls: Tls,
}

#[derive(Debug, Clone)]
pub(in crate::components::kafka) struct RegistryAddress {
    /// Scheme, host, port and the path before the registry's own, without a slash at its end. Holds no credentials.
    pub(in crate::components::kafka) base: String,
    /// User and password.
    pub(in crate::components::kafka) credentials: Option<(Secret, Secret)>,
}

/// Whether a text asks for Avro: `Avro` or `none` in any case; `None` for anything else.
pub(in crate::components::kafka) fn is_avro(kind: &str) -> Option<bool> {
    let kind = kind.trim();
    match kind {
        _ if kind.eq_ignore_ascii_case("avro") => Some(true),
        _ if kind.is_empty() || kind.eq_ignore_ascii_case("none") => Some(false),
        _ => None,
    }
}

impl Schemas {
    pub(super) fn of(raw: &Raw, invalid: &impl Fn(&str, String) -> Error) -> Result<Self> {
        let kind = raw.value_schema_type.as_deref().unwrap_or_default();
        let avro_by_default = is_avro(kind).ok_or_else(|| {
            let message = format!("valueSchemaType: expected Avro or none, got {kind:?}");
            invalid("valueSchemaType", message)
        })?;
        let credentials = match (
            given(raw.schema_registry_api_key.as_ref()),
            given(raw.schema_registry_api_secret.as_ref()),
        ) {
            (Some(key), secret) => Some((key.clone(), secret.cloned().unwrap_or_default())),
            (None, Some(_)) => {
                let message = "schemaRegistryAPIKey: needed by schemaRegistryAPISecret, and not set";
                return Err(invalid("schemaRegistryAPIKey", message.to_owned()));
            }
            (None, None) => None,
        };
        let registry = match given(raw.schema_registry_url.as_ref()) {
            Some(urls) => Some(RegistrySettings {
                addresses: addresses(urls.expose(), credentials.as_ref())
                    .map_err(|message| invalid("schemaRegistryURL", message))?,
                latest_ttl: match (raw.schema_caching_enabled, raw.schema_latest_version_cache_ttl) {
                    (Some(enabled), _) if !enabled.0 => Duration::ZERO,
                    (_, ttl) => ttl.map_or(LATEST_TTL, |ttl| ttl.0),
                },
                tls: Tls {
                    authorities: given(raw.ca_cert.as_ref()).map(|pem| pem.expose().to_owned()),
                    ..Tls::default()
                },
            }),
            None if avro_by_default => {
                let message = "schemaRegistryURL: needed by valueSchemaType Avro, and not set";
                return Err(invalid("schemaRegistryURL", message.to_owned()));
            }
            None => None,
        };
        Ok(Self { registry, avro_by_default, avro_json: raw.use_avro_json.0 })
    }
}

/// The addresses of a registry. What an error shows never holds credentials.
fn addresses(urls: &str, credentials: Option<&(Secret, Secret)>) -> Result<Vec<RegistryAddress>, String> {
    let urls = CommaList(urls.split(',').map(str::to_owned).collect());
    let addresses: Vec<_> =
        urls.trimmed().map(|url| address(url, credentials)).collect::<Result<_, String>>()?;
    if addresses.is_empty() { Err(not_an_address()) } else { Ok(addresses) }
}

fn address(url: &str, credentials: Option<&(Secret, Secret)>) -> Result<RegistryAddress, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(not_an_address)?;
    let (authority, path) = match rest.find(['/', '?', '#']) {
        Some(end) => rest.split_at(end),
        None => (rest, ""),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let base = format!("{}://{host}{}", scheme.to_ascii_lowercase(), path.trim_end_matches('/'));
    let uri: Uri = base.parse().map_err(|_| not_an_address())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_http || uri.host().is_none_or(str::is_empty) || path.contains(['?', '#', '@']) {
        return Err(not_an_address());
    }
    let in_url = user.map(|user| {
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        (Secret::new(unescape(user)), Secret::new(unescape(password)))
    });
    Ok(RegistryAddress { base, credentials: credentials.cloned().or(in_url) })
}

fn not_an_address() -> String {
    // The text itself may hold a password.
    "schemaRegistryURL: expected http:// or https://, a host and perhaps a port and a path".to_owned()
}

/// `%40` → `@`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => {
                let digits = [*high, *low];
                std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Shown = (String, Option<(String, String)>);

    fn read(urls: &str) -> Result<Vec<Shown>, String> {
        let shown =
            |secrets: (Secret, Secret)| (secrets.0.expose().to_owned(), secrets.1.expose().to_owned());
        Ok(addresses(urls, None)?.into_iter().map(|one| (one.base, one.credentials.map(shown))).collect())
    }

    #[test]
    fn addresses_keep_their_path_and_lose_their_credentials() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(
            read("http://one:8081/ , HTTPS://user:p%40ss%3A%@two/api/registry/,http://u@[::1]:80"),
            Ok(vec![
                ("http://one:8081".to_owned(), None),
                ("https://two/api/registry".to_owned(), pair("user", "p@ss:%")),
                ("http://[::1]:80".to_owned(), pair("u", "")),
            ])
        );
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_shown() {
        for urls in [
            "",
            ",",
            "one:8081",
            "ftp://secret@one",
            "http://",
            "http://secret@/x",
            "http://a b",
            "http://a?b",
            "http://u:1/secret@a",
        ] {
            let error = read(urls).expect_err(urls);
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
