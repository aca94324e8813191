//! The client's own signed word, which stands for a client secret (RFC 7523, `private_key_jwt`).

use std::time::{SystemTime, UNIX_EPOCH};

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rand::rand_bytes;
use openssl::sign::Signer;
use serde_json::json;

use super::encoding::base64_url;
use crate::components::kafka::settings::Assertion;
use crate::error::{Error, ErrorCode, Result};
use crate::tls;

/// How long an assertion is valid; it is used at once.
const LIFE_S: u64 = 60;

/// Signs assertions of one client, with RS256.
pub(super) struct Assertions {
    key: PKey<Private>,
    client_id: String,
    audience: String,
    header: serde_json::Value,
}

impl Assertions {
    /// # Errors
    /// `INVALID_SETTINGS` when the key is no RSA key as PEM, or the certificate is not that of the key.
    pub(super) fn new(assertion: &Assertion, client_id: &str) -> Result<Self> {
        let key = rsa_key(assertion.key.expose())?;
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let Some(key_id) = &assertion.key_id {
            header["kid"] = json!(key_id);
        }
        if let Some(certificate) = &assertion.certificate {
            // The server may find the key by any of these; it ignores what it does not look for.
            let chain = tls::certificates(certificate.expose())?;
            let own = &chain[0];
            let same = own.public_key().is_ok_and(|public| public.public_eq(&key));
            if !same {
                let message = "oidcClientAssertionCert: not the certificate of oidcClientAssertionKey";
                return Err(Error::new(ErrorCode::InvalidSettings, message));
            }
            let print = |digest| {
                own.digest(digest).map(|print| json!(base64_url(&print))).map_err(|error| unfit(&error))
            };
            header["x5t"] = print(MessageDigest::sha1())?;
            header["x5t#S256"] = print(MessageDigest::sha256())?;
            let chain: std::result::Result<Vec<_>, _> = chain
                .iter()
                .map(|certificate| certificate.to_der().map(|der| openssl::base64::encode_block(&der)))
                .collect();
            header["x5c"] = json!(chain.map_err(|error| unfit(&error))?);
        }
        let (client_id, audience) = (client_id.to_owned(), assertion.audience.clone());
        Ok(Self { key, client_id, audience, header })
    }

    /// One that was never used before.
    pub(super) fn sign(&self) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut unique = [0; 16];
        rand_bytes(&mut unique).map_err(|error| unfit(&error))?;
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.audience,
            "jti": base64_url(&unique),
            "iat": now,
            "nbf": now,
            "exp": now + LIFE_S,
        });
        let part = |value: &serde_json::Value| base64_url(value.to_string().as_bytes());
        let text = format!("{}.{}", part(&self.header), part(&claims));
        let signature = self.signature(text.as_bytes()).map_err(|error| unfit(&error))?;
        Ok(format!("{text}.{}", base64_url(&signature)))
    }

    fn signature(&self, text: &[u8]) -> std::result::Result<Vec<u8>, ErrorStack> {
        let mut signer = Signer::new(MessageDigest::sha256(), &self.key)?;
        signer.sign_oneshot_to_vec(text)
    }
}

fn rsa_key(pem: &str) -> Result<PKey<Private>> {
    let key = PKey::private_key_from_pem(pem.as_bytes()).ok().filter(|key| key.rsa().is_ok());
    key.ok_or_else(|| {
        let message = "oidcClientAssertionKey: expected an RSA key as PEM, without a passphrase";
        Error::new(ErrorCode::InvalidSettings, message)
    })
}

fn unfit(error: &ErrorStack) -> Error {
    Error::new(ErrorCode::InvalidSettings, "the assertion cannot be signed").backend(error.to_string())
}
