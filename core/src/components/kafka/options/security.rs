//! The options of encryption and of logging in.

use rdkafka::ClientConfig;

use crate::components::kafka::settings::{Mechanism, Sasl, Security};
use crate::tls::{self, Tls};

/// Options whose values must not be shown.
const SECRET: [&str; 5] =
    ["sasl.username", "sasl.password", "ssl.ca.pem", "ssl.certificate.pem", "ssl.key.pem"];

/// Whether the value of an option must not be shown.
pub(in crate::components::kafka) fn is_secret(option: &str) -> bool {
    SECRET.contains(&option)
}

impl Security {
    pub(super) fn set(&self, config: &mut ClientConfig) {
        config.set(
            "security.protocol",
            match (&self.tls, &self.sasl) {
                (None, None) => "plaintext",
                (None, Some(_)) => "sasl_plaintext",
                (Some(_), None) => "ssl",
                (Some(_), Some(_)) => "sasl_ssl",
            },
        );
        if let Some(tls) = &self.tls {
            encrypt(tls, config);
        }
        match &self.sasl {
            None => {}
            Some(Sasl::Password { mechanism, username, password }) => {
                config
                    .set("sasl.mechanism", mechanism.name())
                    .set("sasl.username", username.expose())
                    .set("sasl.password", password.expose());
            }
            Some(Sasl::Token(_)) => {
                config.set("sasl.mechanism", "OAUTHBEARER");
            }
        }
    }
}

fn encrypt(tls: &Tls, config: &mut ClientConfig) {
    if tls.skip_verify {
        config
            .set("enable.ssl.certificate.verification", "false")
            .set("ssl.endpoint.identification.algorithm", "none");
    } else {
        config.set("ssl.endpoint.identification.algorithm", "https");
    }
    match (&tls.authorities, tls::authorities_of_this_machine()) {
        (Some(pem), _) => config.set("ssl.ca.pem", pem),
        (None, Some(place)) => config.set("ssl.ca.location", place.to_string_lossy()),
        // The client library's own places.
        (None, None) => config.set("ssl.ca.location", "probe"),
    };
    if let Some(identity) = &tls.identity {
        config.set("ssl.certificate.pem", &identity.certificates).set("ssl.key.pem", &identity.key);
    }
}

impl Mechanism {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}
