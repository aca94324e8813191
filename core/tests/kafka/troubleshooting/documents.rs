//! Faults of documents and of calls: what is wrong is known without a broker.

use bindwright::{Client, ClientOptions, Request};

use super::Fault;

/// A component of the memory type, which needs no server.
const MEMORY: &str = "apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: checkout
spec:
  type: bindings.memory
  version: v1
";

/// A component of Kafka with further items.
fn kafka(items: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: checkout
spec:
  type: bindings.kafka
  version: v1
  metadata:
  - name: brokers
    value: localhost:9092
  - name: publishTopic
    value: orders
{items}"
    )
}

/// What is said about one file when it is opened.
fn opened(text: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    told_about(folder.path(), text.as_bytes())
}

fn told_about(folder: &std::path::Path, text: &[u8]) -> String {
    std::fs::write(folder.join("checkout.yaml"), text).expect("written");
    let faults = match open(folder) {
        Ok(client) => client.faults(),
        Err(error) => vec![error],
    };
    let first = faults.first().expect("a fault");
    first.to_string().replace(&format!("{}/", folder.display()), "components/")
}

fn open(folder: &std::path::Path) -> bindwright::Result<Client> {
    let resources = Some(vec![folder.to_owned()]);
    Client::open(ClientOptions { resources, ..ClientOptions::default() })
}

/// What a call of the only component, or of another name, is answered with.
fn called(text: &str, name: &str, operation: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("checkout.yaml"), text).expect("written");
    let client = open(folder.path()).expect("opened");
    let answer = client.invoke_binding_blocking(name, operation, Request::new("{}"), None, || false);
    let message = answer.expect_err("refused").to_string();
    message.replace(&format!("{}/", folder.path().display()), "components/")
}

#[allow(clippy::too_many_lines)] // a table
pub(crate) fn faults() -> Vec<Fault> {
    let setting = |items: &str| opened(&kafka(items));
    vec![
        Fault::new(
            "A setting's name is misspelt (a warning; the rest works)",
            setting("  - name: maxMesageBytes\n    value: 1Mi\n"),
        ),
        Fault::new(
            "A setting has the wrong kind of value",
            setting("  - name: maxInFlight\n    value: many\n"),
        ),
        Fault::new(
            "A setting has a word that it does not know",
            setting("  - name: initialOffset\n    value: first\n"),
        ),
        Fault::new(
            "A duration without its unit's meaning",
            setting("  - name: sessionTimeout\n    value: ten seconds\n"),
        ),
        Fault::new(
            "A setting that is needed is missing",
            opened(&kafka("").replace("  - name: brokers\n    value: localhost:9092\n", "")),
        ),
        Fault::new(
            "A setting is given twice, in other case",
            setting("  - name: Brokers\n    value: other:9092\n"),
        ),
        Fault::new("`authType` is misspelt", setting("  - name: authType\n    value: pasword\n")),
        Fault::new(
            "A password without its user",
            setting("  - name: authType\n    value: password\n  - name: saslPassword\n    value: secret\n"),
        ),
        Fault::new(
            "A client certificate without its key",
            setting("  - name: authType\n    value: mtls\n  - name: clientCert\n    value: x\n"),
        ),
        Fault::new(
            "A certificate that is none",
            setting(
                "  - name: authType\n    value: certificate\n  - name: caCert\n    value: /etc/ssl/ca.pem\n",
            ),
        ),
        Fault::new("The type is misspelt", opened(&MEMORY.replace("bindings.memory", "bindings.kafak"))),
        Fault::new("The version does not exist", opened(&MEMORY.replace("version: v1", "version: v2"))),
        Fault::new("The indentation is wrong", opened(&MEMORY.replace("  version: v1", " version: v1"))),
        Fault::new(
            "A tab stands for blanks",
            opened(&MEMORY.replace("  name: checkout", "\tname: checkout")),
        ),
        Fault::new("The file is in UTF-16", {
            let folder = tempfile::tempdir().expect("a folder");
            let units = std::iter::once(0xFEFF).chain(MEMORY.encode_utf16());
            told_about(folder.path(), &units.flat_map(u16::to_le_bytes).collect::<Vec<_>>())
        }),
        Fault::new("Two components have one name", opened(&format!("{MEMORY}---\n{MEMORY}"))),
        Fault::new("The folder does not exist", {
            open(std::path::Path::new("/srv/componets")).expect_err("refused").to_string()
        }),
        Fault::new(
            "A secret store that is not there",
            opened(&format!(
                "{}auth:\n  secretStore: vault\n",
                kafka(
                    "  - name: authType\n    value: password\n  - name: saslUsername\n    value: app\n  - name: saslPassword\n    secretKeyRef:\n      name: kafka\n      key: password\n"
                )
            )),
        ),
        Fault::new("A secret that is not in its store", {
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("secrets.json"), "{\"kafka\": {\"pasword\": \"x\"}}")
                .expect("written");
            let store = format!(
                "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: vault\nspec:\n  type: secretstores.local.file\n  \
                 version: v1\n  metadata:\n  - name: secretsFile\n    value: {}/secrets.json\n",
                folder.path().display()
            );
            let component = format!(
                "{}auth:\n  secretStore: vault\n",
                kafka(
                    "  - name: authType\n    value: password\n  - name: saslUsername\n    value: app\n  - name: saslPassword\n    secretKeyRef:\n      name: kafka:password\n"
                )
            );
            told_about(folder.path(), format!("{component}---\n{store}").as_bytes())
        }),
        Fault::new(
            "An environment variable that is not set",
            setting("  - name: clientID\n    envRef: ORDERS_CLIENT\n"),
        ),
        Fault::new(
            "An environment variable that may not be read",
            setting("  - name: clientID\n    envRef: DAPR_API_TOKEN\n"),
        ),
        Fault::new(
            "`{podName}` outside of a pod",
            setting("  - name: clientID\n    value: orders-{podName}\n"),
        ),
        Fault::new(
            "A policy names a component that is not there",
            opened(&format!(
                "{MEMORY}---\napiVersion: dapr.io/v1alpha1\nkind: Resiliency\nmetadata:\n  name: calm\nspec:\n  policies:\n    timeouts:\n      \
             short: 1s\n  targets:\n    components:\n      chekout:\n        outbound:\n          timeout: short\n"
            )),
        ),
        Fault::new("A call names a component that is not there", called(MEMORY, "chekout", "create")),
        Fault::new(
            "A call from an app that `scopes` leave out",
            called(&format!("{MEMORY}scopes: [shop]\n"), "checkout", "create"),
        ),
        Fault::new("A call names an operation that is not there", called(MEMORY, "checkout", "creat")),
        Fault::new(
            "A call of a component that only receives",
            called(
                &format!("{MEMORY}  metadata:\n  - name: direction\n    value: input\n"),
                "checkout",
                "create",
            ),
        ),
        Fault::new(
            "A call of a component without a topic to send to",
            called(
                &kafka("").replace("  - name: publishTopic\n    value: orders\n", ""),
                "checkout",
                "create",
            ),
        ),
    ]
}
