//! TLS towards backends: what a component trusts and shows of itself, and why a connection did not come about.
//!
//! One library does it for everything: the OpenSSL that librdkafka is built with.

pub(crate) mod probe;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;

use crate::error::{Error, ErrorCode, Result};

/// What a component's settings say about TLS. The default trusts what this machine trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// PEM certificates of authorities, trusted instead of those of this machine.
    pub(crate) authorities: Option<String>,
    /// The component's own certificate (with its chain) and key, PEM both.
    pub(crate) identity: Option<Identity>,
    /// Any certificate is taken.
    pub(crate) skip_verify: bool,
}

/// Who the component is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) certificates: String,
    pub(crate) key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

impl Tls {
    /// What connections are made with.
    ///
    /// # Errors
    /// `INVALID_SETTINGS` when a text is no PEM, or key and certificate do not belong together.
    pub(crate) fn connector(&self) -> Result<SslConnectorBuilder> {
        let unfit = |error: ErrorStack| {
            Error::new(ErrorCode::InvalidSettings, "TLS cannot be set up").backend(error.to_string())
        };
        let mut builder = SslConnector::builder(SslMethod::tls_client()).map_err(unfit)?;
        builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(unfit)?;
        match &self.authorities {
            Some(pem) => {
                let mut store = X509StoreBuilder::new().map_err(unfit)?;
                for certificate in certificates(pem)? {
                    store.add_cert(certificate).map_err(unfit)?;
                }
                builder.set_cert_store(store.build());
            }
            None => trust_this_machine(&mut builder),
        }
        if let Some(identity) = &self.identity {
            let (chain, key) = identity.load()?;
            let mut chain = chain.into_iter();
            if let Some(own) = chain.next() {
                builder.set_certificate(&own).map_err(unfit)?;
            }
            for certificate in chain {
                builder.add_extra_chain_cert(certificate).map_err(unfit)?;
            }
            builder.set_private_key(&key).map_err(unfit)?;
        }
        if self.skip_verify {
            builder.set_verify(SslVerifyMode::NONE);
        }
        Ok(builder)
    }
}

impl Identity {
    /// The certificate, its chain behind it, and the key.
    ///
    /// # Errors
    /// `INVALID_SETTINGS` when a text is no PEM, the key has a passphrase, or the two do not belong together.
    pub(crate) fn load(&self) -> Result<(Vec<X509>, PKey<Private>)> {
        let certificates = certificates(&self.certificates)?;
        // Without a callback OpenSSL would ask for the passphrase at the terminal.
        let key = PKey::private_key_from_pem_callback(self.key.as_bytes(), |_| Ok(0)).map_err(|_| {
            if self.key.contains("ENCRYPTED") {
                Error::new(ErrorCode::InvalidSettings, "expected a private key without a passphrase")
            } else {
                not_pem("a private key")
            }
        })?;
        let own = certificates.first().and_then(|own| own.public_key().ok());
        if own.is_none_or(|own| !own.public_eq(&key)) {
            let message = "the client key does not belong to the client certificate";
            return Err(Error::new(ErrorCode::InvalidSettings, message));
        }
        Ok((certificates, key))
    }
}

/// The certificates of a PEM text: at least one.
pub(crate) fn certificates(pem: &str) -> Result<Vec<X509>> {
    let found = X509::stack_from_pem(pem.as_bytes()).map_err(|_| not_pem("certificates"))?;
    if found.is_empty() { Err(not_pem("certificates")) } else { Ok(found) }
}

fn not_pem(what: &str) -> Error {
    let message = format!("expected {what} as PEM, beginning with \"-----BEGIN\"");
    Error::new(ErrorCode::InvalidSettings, message)
}

/// The file or folder with the authorities of this machine. The OpenSSL inside was built for folders that users do not
/// have, so this looks where systems keep them, and into `SSL_CERT_FILE` and `SSL_CERT_DIR`.
pub(crate) fn authorities_of_this_machine() -> Option<std::path::PathBuf> {
    let found = openssl_probe::probe();
    found.cert_file.or_else(|| found.cert_dir.into_iter().next())
}

fn trust_this_machine(builder: &mut SslConnectorBuilder) {
    if let Some(place) = authorities_of_this_machine() {
        let (file, folder) = if place.is_dir() { (None, Some(place)) } else { (Some(place), None) };
        // What cannot be read leaves nothing trusted, and the first connection says so.
        let _ = builder.load_verify_locations(file.as_deref(), folder.as_deref());
    }
}

/// What an error and its causes say, each thing once: the cause is at the end, and the first links often say only that
/// there was one.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut link = Some(error);
    while let Some(cause) = link {
        let text = cause.to_string();
        if words.last().is_none_or(|last| !last.contains(&text)) {
            words.push(text);
        }
        link = cause.source();
    }
    words.join(": ")
}

/// The code for the words of OpenSSL about a connection that did not come about; `None` when they are about something
/// else.
pub(crate) fn code_of(text: &str) -> Option<ErrorCode> {
    let has = |part: &str| text.contains(part);
    if has("certificate has expired")
        || has("certificate is not yet valid")
        || has("alert certificate expired")
    {
        return Some(ErrorCode::ExpiredCertificate);
    }
    if has("certificate verify failed") || has("ostname mismatch") || has("IP address mismatch") {
        return Some(ErrorCode::UntrustedCertificate);
    }
    (has("SSL routines") || has("alert ")).then_some(ErrorCode::TlsFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_decides_the_code() {
        for (text, code) in [
            (
                "error:0A000086:SSL routines::certificate verify failed: certificate has expired",
                "EXPIRED_CERTIFICATE",
            ),
            (
                "SSL routines::certificate verify failed: self-signed certificate in chain",
                "UNTRUSTED_CERTIFICATE",
            ),
            ("certificate verify failed: Hostname mismatch", "UNTRUSTED_CERTIFICATE"),
            ("error:0A00010B:SSL routines::wrong version number", "TLS_FAILED"),
        ] {
            assert_eq!(code_of(text).map(ErrorCode::as_str), Some(code), "{text}");
        }
        assert_eq!(code_of("connection refused"), None);
    }

    #[test]
    fn what_is_no_pem_is_a_fault_of_the_settings() {
        let tls = Tls { authorities: Some("nonsense".to_owned()), ..Tls::default() };
        assert_eq!(tls.connector().err().map(|error| error.code()), Some(ErrorCode::InvalidSettings));
    }
}
