//! Settings of security that are given and change nothing, because `authType` asks for something else.

use super::raw::Raw;
use super::security::AuthType;
use crate::settings::Secret;

/// Who makes use of a setting.
struct Use {
    setting: &'static str,
    given: fn(&Raw) -> bool,
    by: fn(AuthType) -> bool,
}

fn secret(secret: Option<&Secret>) -> bool {
    secret.is_some_and(|secret| !secret.expose().trim().is_empty())
}

fn text(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.trim().is_empty())
}

fn password(auth_type: AuthType) -> bool {
    auth_type == AuthType::Password
}

fn mtls(auth_type: AuthType) -> bool {
    auth_type == AuthType::Mtls
}

fn oidc(auth_type: AuthType) -> bool {
    matches!(auth_type, AuthType::Oidc | AuthType::OidcPrivateKeyJwt)
}

fn assertion(auth_type: AuthType) -> bool {
    auth_type == AuthType::OidcPrivateKeyJwt
}

fn encrypted(auth_type: AuthType) -> bool {
    auth_type != AuthType::None
}

const USES: [Use; 15] = [
    Use { setting: "saslUsername", given: |raw| secret(raw.sasl_username.as_ref()), by: password },
    Use { setting: "saslPassword", given: |raw| secret(raw.sasl_password.as_ref()), by: password },
    Use { setting: "saslMechanism", given: |raw| text(raw.sasl_mechanism.as_ref()), by: password },
    Use { setting: "clientCert", given: |raw| secret(raw.client_cert.as_ref()), by: mtls },
    Use { setting: "clientKey", given: |raw| secret(raw.client_key.as_ref()), by: mtls },
    Use { setting: "caCert", given: |raw| secret(raw.ca_cert.as_ref()), by: encrypted },
    Use { setting: "skipVerify", given: |raw| raw.skip_verify.0, by: encrypted },
    Use { setting: "oidcTokenEndpoint", given: |raw| text(raw.oidc_token_endpoint.as_ref()), by: oidc },
    Use { setting: "oidcClientID", given: |raw| secret(raw.oidc_client_id.as_ref()), by: oidc },
    Use {
        setting: "oidcClientSecret",
        given: |raw| secret(raw.oidc_client_secret.as_ref()),
        by: |auth_type| auth_type == AuthType::Oidc,
    },
    Use { setting: "oidcExtensions", given: |raw| text(raw.oidc_extensions.as_ref()), by: oidc },
    Use {
        setting: "oidcClientAssertionKey",
        given: |raw| secret(raw.oidc_client_assertion_key.as_ref()),
        by: assertion,
    },
    Use {
        setting: "oidcClientAssertionCert",
        given: |raw| secret(raw.oidc_client_assertion_cert.as_ref()),
        by: assertion,
    },
    Use {
        setting: "accessKey",
        given: |raw| secret(raw.access_key.as_ref()),
        by: |auth_type| auth_type == AuthType::AwsIam,
    },
    Use {
        setting: "assumeRoleArn",
        given: |raw| text(raw.assume_role_arn.as_ref()),
        by: |auth_type| auth_type == AuthType::AwsIam,
    },
];

/// Warns of every setting that is given and has no effect.
pub(super) fn warn_of_idle(raw: &Raw, auth_type: AuthType, mut warn: impl FnMut(&str, &str)) {
    for used in USES.iter().filter(|used| (used.given)(raw) && !(used.by)(auth_type)) {
        let Use { setting, .. } = used;
        warn(setting, &format!("{setting} has no effect with authType {}", auth_type.name()));
    }
    if raw.auth_type.as_deref().is_some_and(|text| !text.trim().is_empty()) && raw.auth_required.is_some() {
        warn("authRequired", "authRequired has no effect beside authType");
    }
    if !encrypted(auth_type) {
        return;
    }
    let (authorities, anybody) = (secret(raw.ca_cert.as_ref()), raw.skip_verify.0);
    // Token servers are reached with TLS in any case.
    let for_tokens = oidc(auth_type);
    if raw.disable_tls.0 {
        if authorities && !for_tokens {
            warn("caCert", "caCert has no effect with disableTls: nothing is encrypted");
        }
        if anybody {
            warn("skipVerify", "skipVerify has no effect with disableTls: nothing is encrypted");
        }
    } else if authorities && anybody && !for_tokens {
        warn("caCert", "caCert has no effect with skipVerify: any certificate is taken");
    }
}
