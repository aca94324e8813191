//! TLS towards backends: what a component trusts and shows of itself, and why a connection did not come about.
//!
//! One library does it for everything: the OpenSSL that librdkafka is built with.

pub(crate) mod probe;

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;

use crate::error::{Error, ErrorCode, Result};

/// What a component's settings say about TLS. The default trusts what this machine trusts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    /// PEM certificates of authorities, trusted instead of those of this machine.
    pub(crate) authorities: Option<String>,
    /// The component's own certificate (with its chain) and key, PEM both.
    pub(crate) identity: Option<Identity>,
    /// Any certificate is taken.
    pub(crate) skip_verify: bool,
}

/// Who the component is.
#[derive(Clone)]
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
            let mut chain = certificates(&identity.certificates)?.into_iter();
            if let Some(own) = chain.next() {
                builder.set_certificate(&own).map_err(unfit)?;
            }
            for certificate in chain {
                builder.add_extra_chain_cert(certificate).map_err(unfit)?;
            }
            let key =
                PKey::private_key_from_pem(identity.key.as_bytes()).map_err(|_| not_pem("a private key"))?;
            builder.set_private_key(&key).map_err(unfit)?;
            builder.check_private_key().map_err(|_| {
                Error::new(
                    ErrorCode::InvalidSettings,
                    "the client key does not belong to the client certificate",
                )
            })?;
        }
        if self.skip_verify {
            builder.set_verify(SslVerifyMode::NONE);
        }
        Ok(builder)
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

/// The OpenSSL inside was built for folders that users do not have: look where systems keep their authorities.
fn trust_this_machine(builder: &mut SslConnectorBuilder) {
    let found = openssl_probe::probe();
    if let Some(file) = &found.cert_file {
        // A file that cannot be read leaves nothing trusted, and the first connection says so.
        let _ = builder.load_verify_locations(Some(file), None);
    }
    for folder in &found.cert_dir {
        let _ = builder.load_verify_locations(None, Some(folder));
    }
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
