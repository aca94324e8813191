//! A broker that wants tokens, and components that have to fetch them.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use openssl::pkey::{PKey, Private};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::token_server::{self, AUDIENCE, CLIENT, SECRET, TokenServer};
use crate::fixture::Fixture;
use crate::server::{self, Cluster};

const LISTENER: &str = "TOKENS";

/// The broker that these tests share, and the key that it knows tokens by.
struct Shared {
    /// Gives the broker the key.
    _keys: TokenServer,
    key: PKey<Private>,
    cluster: Option<Cluster>,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let key = token_server::rsa_key();
        let keys = TokenServer::start(&key, None);
        let url = keys.url("/jwks");
        let mechanism = "listener.name.tokens.oauthbearer";
        let package = "org.apache.kafka.common.security.oauthbearer";
        let mut arguments = vec![
            "--fast-start".to_owned(),
            format!("--listener={LISTENER}=SASL_PLAINTEXT"),
            // Brokers fetch keys only from where their Java says.
            format!("--jvm-option=-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={url}"),
        ];
        for property in [
            "listener.name.tokens.sasl.enabled.mechanisms=OAUTHBEARER".to_owned(),
            format!("{mechanism}.sasl.jaas.config={package}.OAuthBearerLoginModule required ;"),
            format!(
                "{mechanism}.sasl.server.callback.handler.class={package}.OAuthBearerValidatorCallbackHandler"
            ),
            format!("sasl.oauthbearer.jwks.endpoint.url={url}"),
            format!("sasl.oauthbearer.expected.audience={AUDIENCE}"),
            // A connection ends with its token, to the second.
            format!("{mechanism}.connections.max.reauth.ms=600000"),
            "sasl.oauthbearer.clock.skew.seconds=0".to_owned(),
        ] {
            arguments.push(format!("--property={property}"));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Shared { _keys: keys, key, cluster: server::own(&arguments) }
    })
}

/// A component on the broker's listener for tokens, and a token server of its own.
pub struct Tokens {
    pub fixture: Fixture,
    pub server: TokenServer,
}

impl Tokens {
    /// `None` where there is no broker.
    pub fn new() -> Option<Self> {
        Self::with_tls(None)
    }

    pub fn with_tls(tls: Option<openssl::ssl::SslAcceptor>) -> Option<Self> {
        let shared = shared();
        let Some(cluster) = &shared.cluster else {
            server::say("SKIPPED: no Kafka");
            return None;
        };
        let fixture = Fixture::on(cluster.listener(LISTENER));
        let tokens = Self { fixture, server: TokenServer::start(&shared.key, tls) };
        tokens.write(&[]);
        Some(tokens)
    }

    /// Writes the component `orders` with `authType: oidc` and these settings, which stand for the usual ones.
    pub fn write(&self, settings: &[(&str, &str)]) {
        let Fixture { bootstrap, topic, group, .. } = &self.fixture;
        let endpoint = self.server.url("/token");
        let usual = [
            ("brokers", bootstrap.as_str()),
            ("topics", topic),
            ("publishTopic", topic),
            ("consumerGroup", group),
            ("initialOffset", "oldest"),
            ("disableTls", "true"),
            ("authType", "oidc"),
            ("oidcTokenEndpoint", &endpoint),
            ("oidcClientID", CLIENT),
            ("oidcClientSecret", SECRET),
            ("oidcScopes", "orders,kafka"),
        ];
        let given = |name: &str| settings.iter().any(|(given, _)| *given == name);
        let usual = usual.into_iter().filter(|(name, _)| !given(name));
        let mut metadata = String::new();
        for (name, value) in settings.iter().copied().chain(usual) {
            // A JSON text is one of YAML, too.
            let value = serde_json::to_string(value).expect("written");
            writeln!(metadata, "  - {{name: {name}, value: {value}}}").expect("written");
        }
        self.fixture.write_metadata(&metadata);
    }
}

/// Stands before a broker and keeps what clients say.
pub struct Ear {
    pub address: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Ear {
    pub async fn before(broker: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (keeps, broker) = (heard.clone(), broker.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(broker) = TcpStream::connect(&broker).await else { continue };
                let keeps = keeps.clone();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_broker, mut to_broker) = broker.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_broker, &mut to_client).await });
                tokio::spawn(async move {
                    let mut buffer = vec![0; 16 << 10];
                    while let Ok(size @ 1..) = from_client.read(&mut buffer).await {
                        keeps.lock().extend_from_slice(&buffer[..size]);
                        if to_broker.write_all(&buffer[..size]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, heard }
    }

    /// What clients said after `n,,`, once somebody logged in.
    pub fn login(&self) -> Option<String> {
        let heard = self.heard.lock();
        let text = String::from_utf8_lossy(&heard);
        let begin = text.find("n,,\u{1}")?;
        let end = text[begin..].find("\u{1}\u{1}")?;
        Some(text[begin..begin + end].to_owned())
    }
}
