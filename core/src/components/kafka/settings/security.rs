//! Who a Kafka component is towards its brokers, and whom it trusts.

use super::effect;
use super::raw::Raw;
use crate::error::{Error, Result};
use crate::settings::{CommaList, Secret};
use crate::tls::{self, Identity, Tls};

/// How a component connects.
#[derive(Debug)]
pub(in crate::components::kafka) struct Security {
    /// `None` is no encryption.
    pub(in crate::components::kafka) tls: Option<Tls>,
    pub(in crate::components::kafka) sasl: Option<Sasl>,
}

/// How it proves who it is, beside a certificate.
#[derive(Debug)]
pub(in crate::components::kafka) enum Sasl {
    Password {
        mechanism: Mechanism,
        username: Secret,
        password: Secret,
    },
    /// A token that has to be fetched, and again before it expires.
    Token(TokenSource),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::components::kafka) enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// Where a token comes from.
#[derive(Debug, Clone)]
pub(in crate::components::kafka) enum TokenSource {
    Oidc(Oidc),
    Aws(Aws),
}

/// A token server that takes client credentials.
#[derive(Debug, Clone)]
pub(in crate::components::kafka) struct Oidc {
    pub(in crate::components::kafka) endpoint: String,
    pub(in crate::components::kafka) client_id: Secret,
    pub(in crate::components::kafka) proof: Proof,
    pub(in crate::components::kafka) scopes: Vec<String>,
    pub(in crate::components::kafka) resource: Option<String>,
    /// Sent to the broker with the token.
    pub(in crate::components::kafka) extensions: Vec<(String, String)>,
    /// What the token server's certificate is checked with.
    pub(in crate::components::kafka) tls: Tls,
}

/// How the component proves to the token server who it is.
#[derive(Debug, Clone)]
pub(in crate::components::kafka) enum Proof {
    Secret(Secret),
    /// A signed assertion.
    Assertion {
        key: Secret,
        audience: String,
        key_id: Option<String>,
    },
}

/// Credentials of AWS, which are the token themselves.
#[derive(Debug, Clone)]
pub(in crate::components::kafka) struct Aws {
    pub(in crate::components::kafka) region: String,
    /// Access key and secret key; without them the default chain.
    pub(in crate::components::kafka) keys: Option<(Secret, Secret)>,
    pub(in crate::components::kafka) session_token: Option<Secret>,
    pub(in crate::components::kafka) role: Option<String>,
    pub(in crate::components::kafka) session_name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthType {
    None,
    Password,
    Mtls,
    Certificate,
    Oidc,
    OidcPrivateKeyJwt,
    AwsIam,
}

const AUTH_TYPES: [(&str, AuthType); 7] = [
    ("none", AuthType::None),
    ("password", AuthType::Password),
    ("mtls", AuthType::Mtls),
    ("certificate", AuthType::Certificate),
    ("oidc", AuthType::Oidc),
    ("oidc_private_key_jwt", AuthType::OidcPrivateKeyJwt),
    ("awsiam", AuthType::AwsIam),
];

impl AuthType {
    pub(super) fn name(self) -> &'static str {
        AUTH_TYPES.iter().find(|(_, auth_type)| *auth_type == self).map_or("none", |(name, _)| name)
    }
}

/// Reads the settings of one component, and says what is wrong with which.
struct Reading<'a, Invalid, Warn> {
    raw: &'a Raw,
    invalid: &'a Invalid,
    warn: &'a mut Warn,
}

impl Security {
    pub(super) fn of(
        raw: &Raw,
        invalid: &impl Fn(&str, String) -> Error,
        warn: &mut impl FnMut(&str, &str),
    ) -> Result<Self> {
        Reading { raw, invalid, warn }.security()
    }
}

impl<Invalid: Fn(&str, String) -> Error, Warn: FnMut(&str, &str)> Reading<'_, Invalid, Warn> {
    fn security(mut self) -> Result<Security> {
        let auth_type = self.auth_type()?;
        effect::warn_of_idle(self.raw, auth_type, &mut *self.warn);
        if auth_type == AuthType::None {
            return Ok(Security { tls: None, sasl: None });
        }
        let tls = self.tls(auth_type)?;
        let sasl = match auth_type {
            AuthType::None | AuthType::Mtls | AuthType::Certificate => None,
            AuthType::Password => Some(self.password()?),
            AuthType::Oidc | AuthType::OidcPrivateKeyJwt => {
                Some(Sasl::Token(TokenSource::Oidc(self.oidc(auth_type)?)))
            }
            AuthType::AwsIam => Some(Sasl::Token(TokenSource::Aws(self.aws()?))),
        };
        Ok(Security { tls, sasl })
    }

    fn auth_type(&mut self) -> Result<AuthType> {
        let given = self.raw.auth_type.as_deref().map(str::trim).filter(|text| !text.is_empty());
        match (given, self.raw.auth_required.as_ref().map(|flag| flag.0)) {
            (Some(text), _) => {
                let found = AUTH_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
                found.map(|(_, auth_type)| *auth_type).ok_or_else(|| {
                    let known = AUTH_TYPES.map(|(name, _)| name).join(", ");
                    (self.invalid)("authType", format!("authType: expected one of {known}, got {text:?}"))
                })
            }
            (None, Some(false)) => Ok(AuthType::None),
            (None, Some(true)) if self.raw.sasl_password.is_some() => Ok(AuthType::Password),
            (None, Some(true)) => Ok(AuthType::Mtls),
            (None, None) => {
                (self.warn)("authType", "neither authType nor authRequired is set; taken as authType none");
                Ok(AuthType::None)
            }
        }
    }

    fn tls(&mut self, auth_type: AuthType) -> Result<Option<Tls>> {
        let raw = self.raw;
        let certificate_only = matches!(auth_type, AuthType::Mtls | AuthType::Certificate);
        if raw.disable_tls.0 {
            if certificate_only {
                let message = "disableTls: without TLS no certificate is shown, choose another authType";
                return Err((self.invalid)("disableTls", message.to_owned()));
            }
            return Ok(None);
        }
        let authorities = given(raw.ca_cert.as_ref()).map(|pem| pem.expose().to_owned());
        if auth_type == AuthType::Certificate && authorities.is_none() {
            return Err(self.needed("caCert", "authType certificate"));
        }
        let identity = match (given(raw.client_cert.as_ref()), given(raw.client_key.as_ref())) {
            (Some(certificates), Some(key)) => Some(Identity {
                certificates: certificates.expose().to_owned(),
                key: key.expose().to_owned(),
            }),
            (Some(_), None) => return Err(self.needed("clientKey", "clientCert")),
            (None, Some(_)) => return Err(self.needed("clientCert", "clientKey")),
            (None, None) if auth_type == AuthType::Mtls => {
                (self.warn)(
                    "authType",
                    "mtls without clientCert and clientKey: the broker does not learn who connects",
                );
                None
            }
            (None, None) => None,
        };
        // As in Dapr, only mtls shows a certificate.
        let identity = identity.filter(|_| auth_type == AuthType::Mtls);
        self.check_certificates(authorities.as_deref(), identity.as_ref())?;
        Ok(Some(Tls { authorities, identity, skip_verify: raw.skip_verify.0 }))
    }

    /// What cannot be read fails here, with its place, and not at the first connection.
    fn check_certificates(&self, authorities: Option<&str>, identity: Option<&Identity>) -> Result<()> {
        let unfit =
            |setting: &str, error: &Error| (self.invalid)(setting, format!("{setting}: {}", error.message()));
        if let Some(pem) = authorities {
            tls::certificates(pem).map_err(|error| unfit("caCert", &error))?;
        }
        if let Some(identity) = identity {
            tls::certificates(&identity.certificates).map_err(|error| unfit("clientCert", &error))?;
            identity.load().map_err(|error| unfit("clientKey", &error))?;
        }
        Ok(())
    }

    fn password(&self) -> Result<Sasl> {
        let raw = self.raw;
        let need = |secret: Option<&Secret>, setting: &str| {
            let secret = given(secret).cloned().ok_or_else(|| self.needed(setting, "authType password"))?;
            if secret.expose().contains('\0') {
                return Err((self.invalid)(setting, format!("{setting}: must not hold a zero byte")));
            }
            Ok(secret)
        };
        let mechanism = match raw.sasl_mechanism.as_deref().map(str::trim).unwrap_or_default() {
            text if ["", "PLAINTEXT", "PLAIN"].iter().any(|known| text.eq_ignore_ascii_case(known)) => {
                Mechanism::Plain
            }
            text if ["SHA-256", "SCRAM-SHA-256"].iter().any(|known| text.eq_ignore_ascii_case(known)) => {
                Mechanism::ScramSha256
            }
            text if ["SHA-512", "SCRAM-SHA-512"].iter().any(|known| text.eq_ignore_ascii_case(known)) => {
                Mechanism::ScramSha512
            }
            text => {
                let message = format!("saslMechanism: expected PLAINTEXT, SHA-256 or SHA-512, got {text:?}");
                return Err((self.invalid)("saslMechanism", message));
            }
        };
        Ok(Sasl::Password {
            mechanism,
            username: need(raw.sasl_username.as_ref(), "saslUsername")?,
            password: need(raw.sasl_password.as_ref(), "saslPassword")?,
        })
    }

    fn oidc(&mut self, auth_type: AuthType) -> Result<Oidc> {
        let raw = self.raw;
        let what =
            if auth_type == AuthType::Oidc { "authType oidc" } else { "authType oidc_private_key_jwt" };
        let Some(endpoint) = text(raw.oidc_token_endpoint.as_ref()) else {
            return Err(self.needed("oidcTokenEndpoint", what));
        };
        let need = |secret: Option<&Secret>, setting: &str| {
            given(secret).cloned().ok_or_else(|| self.needed(setting, what))
        };
        let client_id = need(raw.oidc_client_id.as_ref(), "oidcClientID")?;
        let proof = if auth_type == AuthType::Oidc {
            Proof::Secret(need(raw.oidc_client_secret.as_ref(), "oidcClientSecret")?)
        } else {
            Proof::Assertion {
                key: need(raw.oidc_client_assertion_key.as_ref(), "oidcClientAssertionKey")?,
                audience: text(raw.oidc_audience.as_ref()).unwrap_or_else(|| endpoint.clone()),
                key_id: text(raw.oidc_kid.as_ref()),
            }
        };
        let extensions = self.extensions()?;
        let mut scopes: Vec<_> =
            raw.oidc_scopes.iter().flat_map(CommaList::trimmed).map(str::to_owned).collect();
        if scopes.is_empty() {
            (self.warn)("oidcScopes", "oidcScopes is not set; taken as openid");
            scopes.push("openid".to_owned());
        }
        let authorities = given(raw.ca_cert.as_ref()).map(|pem| pem.expose().to_owned());
        let tls = Tls { authorities, identity: None, skip_verify: false };
        let resource = text(raw.oidc_resource.as_ref());
        Ok(Oidc { endpoint, client_id, proof, scopes, resource, extensions, tls })
    }

    fn extensions(&self) -> Result<Vec<(String, String)>> {
        let Some(json) = text(self.raw.oidc_extensions.as_ref()) else { return Ok(Vec::new()) };
        let object: std::collections::BTreeMap<String, String> =
            serde_json::from_str(&json).map_err(|error| {
                let message = format!("oidcExtensions: expected a JSON object of texts: {error}");
                (self.invalid)("oidcExtensions", message)
            })?;
        Ok(object.into_iter().collect())
    }

    fn aws(&self) -> Result<Aws> {
        let raw = self.raw;
        let Some(region) = text(raw.region.as_ref()) else {
            return Err(self.needed("region", "authType awsiam"));
        };
        let keys = match (given(raw.access_key.as_ref()), given(raw.secret_key.as_ref())) {
            (Some(access), Some(secret)) => Some((access.clone(), secret.clone())),
            (Some(_), None) => return Err(self.needed("secretKey", "accessKey")),
            (None, Some(_)) => return Err(self.needed("accessKey", "secretKey")),
            (None, None) => None,
        };
        Ok(Aws {
            region,
            keys,
            session_token: given(raw.session_token.as_ref()).cloned(),
            role: text(raw.assume_role_arn.as_ref()),
            session_name: text(raw.session_name.as_ref()).unwrap_or_else(|| "DaprDefaultSession".to_owned()),
        })
    }

    fn needed(&self, setting: &str, by: &str) -> Error {
        (self.invalid)(setting, format!("{setting}: needed by {by}, and not set"))
    }
}

/// A setting that says something.
fn given(secret: Option<&Secret>) -> Option<&Secret> {
    secret.filter(|secret| !secret.expose().trim().is_empty())
}

fn text(setting: Option<&String>) -> Option<String> {
    setting.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}
