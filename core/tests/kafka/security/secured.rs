//! A broker that wants to know who comes: a listener for each way of proving it, and for each way of doing it wrong.

use std::fmt::Write as _;
use std::io::Write;

use parking_lot::Mutex;

use super::certificates::{Authority, Pair, Valid};
use crate::fixture::Fixture;
use crate::server::{self, Cluster};

/// The user of all tests that need no other; may do everything.
pub const USER: &str = "admin";
pub const PASSWORD: &str = "t0p-Secret-of-admin";
/// A user of mechanism PLAIN who may do nothing.
pub const STRANGER: &str = "stranger";
pub const STRANGERS_PASSWORD: &str = "t0p-Secret-of-stranger";
/// No password of anybody.
pub const WRONG: &str = "t0p-Secret-of-nobody";

pub struct Secured {
    pub cluster: Cluster,
    pub authority: Authority,
    /// Signed nothing that the broker shows.
    pub stranger: Authority,
    pub client: Pair,
}

impl Secured {
    fn start() -> Option<Self> {
        let authority = Authority::new("Test Authority");
        let hosts = ["localhost", "127.0.0.1"];
        let good = authority.issue("broker", &hosts, Valid::Now);
        let expired = authority.issue("expired broker", &hosts, Valid::Formerly);
        let later = authority.issue("early broker", &hosts, Valid::Later);
        let misnamed = authority.issue("other broker", &["kafka.example"], Valid::Now);
        let mut arguments = vec!["--fast-start".to_owned()];
        let mut property = |name: &str, value: &str| {
            // A line of a properties file.
            arguments.extend(["--property".to_owned(), format!("{name}={}", value.replace('\n', "\\n"))]);
        };
        for (listener, pair) in [
            ("locked", &good),
            ("mutual", &good),
            ("public", &good),
            ("expired", &expired),
            ("later", &later),
            ("misnamed", &misnamed),
        ] {
            let mut own =
                |name: &str, value: &str| property(&format!("listener.name.{listener}.{name}"), value);
            own("ssl.keystore.type", "PEM");
            own("ssl.keystore.certificate.chain", &pair.certificate);
            own("ssl.keystore.key", &pair.key);
            own("ssl.truststore.type", "PEM");
            own("ssl.truststore.certificates", &authority.pem());
        }
        property("listener.name.mutual.ssl.client.auth", "required");
        for listener in ["locked", "clear"] {
            let mut own =
                |name: &str, value: &str| property(&format!("listener.name.{listener}.{name}"), value);
            own("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512");
            own(
                "plain.sasl.jaas.config",
                &format!(
                    "org.apache.kafka.common.security.plain.PlainLoginModule required \
                     user_{USER}=\"{PASSWORD}\" user_{STRANGER}=\"{STRANGERS_PASSWORD}\";"
                ),
            );
            for mechanism in ["scram-sha-256", "scram-sha-512"] {
                let module = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
                own(&format!("{mechanism}.sasl.jaas.config"), module);
            }
        }
        property("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer");
        property("super.users", &format!("User:ANONYMOUS;User:{USER};User:CN=client"));
        for (name, protocol) in [
            ("LOCKED", "SASL_SSL"),
            ("CLEAR", "SASL_PLAINTEXT"),
            ("MUTUAL", "SSL"),
            ("PUBLIC", "SSL"),
            ("EXPIRED", "SSL"),
            ("LATER", "SSL"),
            ("MISNAMED", "SSL"),
        ] {
            arguments.extend(["--listener".to_owned(), format!("{name}={protocol}")]);
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let cluster = server::own(&arguments)?;
        let client = authority.issue("client", &[], Valid::Now);
        Some(Self { cluster, stranger: Authority::new("Another Authority"), authority, client })
    }

    /// A topic and a group of the test's own, with a component that connects to a listener with these settings.
    pub async fn fixture(&self, listener: &str, settings: &[(&str, &str)]) -> Fixture {
        listen_for_secrets();
        let fixture = Fixture::on(self.cluster.bootstrap());
        fixture.create_topic(1).await;
        self.write(&fixture, listener, settings);
        fixture
    }

    /// Writes the fixture's component.
    pub fn write(&self, fixture: &Fixture, listener: &str, settings: &[(&str, &str)]) {
        let brokers = match listener {
            "CLIENT" => self.cluster.bootstrap(),
            listener => self.cluster.listener(listener),
        };
        let own = [
            ("brokers", brokers),
            ("topics", &fixture.topic),
            ("publishTopic", &fixture.topic),
            ("consumerGroup", &fixture.group),
            ("initialOffset", "oldest"),
        ];
        let mut document = String::new();
        for (name, value) in settings.iter().chain(&own) {
            if !document.contains(&format!("{{name: {name},")) {
                // JSON's quotes are YAML's, too.
                let value = serde_json::to_string(value).expect("a text");
                writeln!(document, "  - {{name: {name}, value: {value}}}").expect("written");
            }
        }
        fixture.write_metadata(&document);
    }
}

/// The broker of these tests; `None` where there is none.
pub async fn secured() -> Option<&'static Secured> {
    static SECURED: tokio::sync::OnceCell<Option<Secured>> = tokio::sync::OnceCell::const_new();
    let secured = SECURED
        .get_or_init(|| async {
            let secured = tokio::task::spawn_blocking(Secured::start).await.expect("no panic")?;
            secured.cluster.set_password(USER, PASSWORD).await;
            Some(secured)
        })
        .await;
    secured.as_ref()
}

/// What was logged with a secret in it.
static LEAKS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Whether a text holds a password or a key.
pub fn has_secret(text: &str) -> bool {
    text.contains("t0p-Secret") || text.contains("PRIVATE KEY")
}

struct Listener;

impl Write for Listener {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        if has_secret(&text) {
            LEAKS.lock().push(text.into_owned());
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Looks at everything that is logged from now on.
fn listen_for_secrets() {
    static LISTENING: std::sync::Once = std::sync::Once::new();
    LISTENING.call_once(|| {
        let logs = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(|| Listener);
        // Fails where somebody asked to see the logs.
        let _ = logs.try_init();
    });
}

/// What was logged so far and should not have been.
pub fn leaks() -> Vec<String> {
    LEAKS.lock().clone()
}
