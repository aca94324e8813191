//! Values from secret stores, and names in values, while the program runs.

use std::time::Duration;

use bindwright::{Client, ClientOptions, ErrorCode, Reload, Request, State};

use crate::fixture::{Fixture, ask, options, state, until};

/// How long components may take.
const PATIENCE: Duration = Duration::from_secs(20);

const STORE: &str = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: vault\nspec:\n  \
                     type: secretstores.local.file\n  version: v1\n  metadata:\n  - name: secretsFile\n    \
                     value: secrets.json\n";

/// A document that says what the secret `NAME.say` is.
fn secretive(fixture: &Fixture, name: &str) -> String {
    let text = fixture.document(name, "SECRET", &[]);
    text.replace("    value: SECRET\n", &format!("    secretKeyRef: {{name: {name}:say}}\n"))
        + "auth: {secretStore: vault}\n"
}

fn with_secrets(secrets: &str) -> Fixture {
    let fixture = Fixture::new();
    fixture.write_text("vault.yaml", STORE);
    fixture.write_text("secrets.json", secrets);
    fixture
}

async fn reload(client: &Client) -> Reload {
    client.reload().await.expect("looked")
}

async fn error(client: &Client, name: &str) -> bindwright::Error {
    client.invoke_binding(name, "create", Request::default(), None).await.expect_err("refused")
}

#[tokio::test]
async fn a_rotated_secret_is_a_changed_document() {
    let fixture = with_secrets(r#"{"a": {"say": "one"}, "b": {"say": "same"}}"#);
    fixture.write_text("a.yaml", &secretive(&fixture, "a"));
    fixture.write_text("b.yaml", &secretive(&fixture, "b"));
    let client = fixture.client();
    assert_eq!(client.faults().len(), 0, "{:?}", client.faults());
    assert_eq!((ask(&client, "a").await, ask(&client, "b").await), ("a one".into(), "b same".into()));
    fixture.write_text("secrets.json", r#"{"a": {"say": "two"}, "b": {"say": "same"}}"#);
    until("the change is noticed by itself", || fixture.world.count("open a two") == 1).await;
    assert_eq!(ask(&client, "a").await, "a two");
    assert_eq!(fixture.world.count("open b same"), 1);
}

#[tokio::test]
async fn a_secret_that_is_gone_leaves_the_running_component_as_it_is() {
    let fixture = with_secrets(r#"{"a": {"say": "one"}}"#);
    fixture.write_text("a.yaml", &secretive(&fixture, "a"));
    let client = fixture.client();
    assert_eq!(ask(&client, "a").await, "a one");
    for broken in ["{", "{}", r#"{"a": {"say": ""}}"#] {
        fixture.write_text("secrets.json", broken);
        let done = reload(&client).await;
        assert_eq!(done.changed.len() + done.removed.len(), 0);
        let fault = done.faults.iter().find(|fault| fault.component_name() == Some("a")).expect("a fault");
        assert_eq!(fault.code(), ErrorCode::UnresolvedReference, "{fault}");
        assert_eq!(ask(&client, "a").await, "a one");
    }
    std::fs::remove_file(fixture.path("secrets.json")).expect("removed");
    assert_eq!(reload(&client).await.faults.len(), 2);
    std::fs::remove_file(fixture.path("vault.yaml")).expect("removed");
    assert_eq!(reload(&client).await.faults.len(), 1);
    assert_eq!(ask(&client, "a").await, "a one");
    fixture.write_text("vault.yaml", STORE);
    fixture.write_text("secrets.json", r#"{"a": {"say": "two"}}"#);
    let done = reload(&client).await;
    assert_eq!((done.changed, done.faults.len()), (vec!["a".into()], 0));
    assert_eq!(ask(&client, "a").await, "a two");
}

#[tokio::test]
async fn only_the_component_whose_secret_is_missing_cannot_be_used_until_it_is_there() {
    let fixture = with_secrets("{}");
    fixture.write_text("a.yaml", &secretive(&fixture, "a"));
    fixture.write("other", "1");
    let client = fixture.client();
    assert_eq!(ask(&client, "other").await, "other 1");
    let refused = error(&client, "a").await;
    assert_eq!(refused.code(), ErrorCode::UnresolvedReference);
    assert_eq!(refused.message(), "say: secret store \"vault\": there is no secret \"a:say\"");
    assert!(refused.place_in_file().expect("a place").file.ends_with("a.yaml"));
    assert_eq!(state(&client, "a"), State::Failed);
    assert_eq!(client.faults().len(), 1, "{:?}", client.faults());
    assert_eq!(client.ready(PATIENCE).await.expect_err("a").code(), ErrorCode::UnresolvedReference);
    // Another reason is told as well.
    fixture.write_text("secrets.json", r#"{"a": {"say": ""}}"#);
    assert_eq!(reload(&client).await.faults.len(), 1);
    assert!(error(&client, "a").await.message().ends_with("secret a:say: it is empty"));
    fixture.write_text("secrets.json", r#"{"a": {"say": "now"}}"#);
    assert_eq!(reload(&client).await.changed, ["a"]);
    assert_eq!(ask(&client, "a").await, "a now");
    client.ready(PATIENCE).await.expect("ready");
}

#[tokio::test]
async fn who_waits_does_not_wait_for_stores_that_nobody_uses() {
    let fixture = Fixture::new();
    fixture.write_text("vault.yaml", STORE);
    fixture.write("a", "1");
    let client = fixture.client();
    assert_eq!(client.faults()[0].component_name(), Some("vault"));
    client.ready(PATIENCE).await.expect("ready");
    let text = secretive(&fixture, "b").replace("spec:\n", "spec:\n  ignoreErrors: true\n");
    fixture.write_text("b.yaml", &text);
    reload(&client).await;
    assert_eq!(error(&client, "b").await.code(), ErrorCode::UnresolvedReference);
    client.ready(PATIENCE).await.expect("the document says that b may be missing");
}

#[tokio::test]
async fn added_components_take_from_the_stores_of_the_files_and_of_their_text() {
    let fixture = with_secrets(r#"{"a": {"say": "one"}, "b": {"say": "two"}}"#);
    let client = fixture.client();
    assert_eq!(client.add_component(&secretive(&fixture, "a")).expect("added"), ["a"]);
    assert_eq!(ask(&client, "a").await, "a one");
    let path = fixture.path("secrets.json");
    let own = STORE.replace("vault", "own").replace("secrets.json", path.to_str().expect("UTF-8"));
    let text = format!("{}---\n{own}", secretive(&fixture, "b").replace("vault", "own"));
    assert_eq!(client.add_component(&text).expect("added"), ["b"]);
    assert_eq!(ask(&client, "b").await, "b two");
    let refused = client.add_component(&secretive(&fixture, "c")).expect_err("no such secret");
    assert_eq!(refused.code(), ErrorCode::UnresolvedReference);
    let refused = client.add_component(&own).expect_err("nothing for this app");
    assert_eq!(refused.code(), ErrorCode::InvalidManifest);
}

#[tokio::test]
async fn names_in_values_are_filled_in_when_a_component_is_opened() {
    let fixture = Fixture::new();
    fixture.write("a", "'{appID}'");
    fixture.write("b", "'{uuid}'");
    fixture.write("c", "'{namespace}'");
    let client =
        Client::open(ClientOptions { app_id: Some("shop".into()), ..options(fixture.folder.path()) })
            .expect("opened");
    assert_eq!(ask(&client, "a").await, "a shop");
    assert_eq!(ask(&client, "c").await, "c default.shop");
    let first = ask(&client, "b").await;
    assert_eq!(first.len(), "b ".len() + 36, "{first}");
    assert_eq!(ask(&client, "b").await, first);
    // It is no change that it would be another one now.
    fixture.write("d", "1");
    assert_eq!(reload(&client).await.changed.len(), 0);
    assert_eq!(ask(&client, "b").await, first);
    fixture.write_text("b.yaml", &fixture.document("b", "'{uuid}'", &["x: y"]));
    assert_eq!(reload(&client).await.changed, ["b"]);
    assert_ne!(ask(&client, "b").await, first);
}

#[tokio::test]
async fn both_directions_have_uuids_of_their_own_and_all_readers_the_same() {
    let fixture = Fixture::new();
    fixture.write("a", "'{uuid}'");
    let client = fixture.client();
    let sends = ask(&client, "a").await;
    let _one = crate::fixture::subscribe(&client, "a").await;
    let _two = crate::fixture::subscribe(&client, "a").await;
    let starts: Vec<String> = fixture
        .world
        .log()
        .iter()
        .filter_map(|entry| entry.strip_prefix("start ").map(str::to_owned))
        .collect();
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[0], starts[1]);
    assert_ne!(starts[0], sends);
}

#[tokio::test]
async fn a_name_that_nobody_knows_makes_its_component_unusable() {
    let fixture = Fixture::new();
    fixture.write("a", "'{appID}'");
    fixture.write("b", "1");
    let client = fixture.client();
    let refused = error(&client, "a").await;
    assert_eq!(refused.code(), ErrorCode::InvalidSettings);
    assert_eq!(refused.message(), "say: {appID} needs an app id, and the client has none");
    assert_eq!(refused.place_in_file().map(|place| place.line), Some(12));
    assert_eq!(ask(&client, "b").await, "b 1");
}
