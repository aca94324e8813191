//! Sending with a schema registry. Receiving: `avro_input.rs`.

use bindwright::{Client, ErrorCode, Request};
use serde_json::{Value, json};

use crate::fixture::{Fixture, close, receive, send, send_within, subscribe, text, texts};
use crate::outcomes::header;
use crate::registry::{Mood, Registry};

/// What `tests/avro/fixtures.py` made: bodies of fastavro.
const FIXTURES: &str = include_str!("../../../tests/avro/fixtures.json");

pub fn price() -> Value {
    json!({"type": "record", "name": "Price", "fields": [{"name": "price", "type": "long"}]})
}

/// A topic whose values are Avro, and a registry without schemas.
pub async fn avro(settings: &str) -> Option<(Fixture, Registry)> {
    let fixture = Fixture::with_topic(1).await?;
    let registry = Registry::start();
    let url = registry.url();
    fixture.write(format!("{settings}\nschemaRegistryURL: {url}\nvalueSchemaType: Avro").trim_start());
    Some((fixture, registry))
}

pub fn subject(fixture: &Fixture) -> String {
    format!("{}-value", fixture.topic)
}

pub fn prefixed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], body].concat()
}

async fn refused(client: &Client, request: Request) -> bindwright::Error {
    send_within(client, 3000, request).await.expect_err("refused")
}

#[tokio::test]
async fn what_is_sent_is_what_other_encoders_write_and_comes_back_as_it_was() {
    let fixtures: Vec<Value> = serde_json::from_str(FIXTURES).expect("JSON");
    for fixture_of in [&fixtures[0], &fixtures[11]] {
        let Some((fixture, registry)) = avro("").await else { return };
        let id = registry.register(&subject(&fixture), &fixture_of["schema"]);
        let client = fixture.client();
        let data = fixture_of["plain"].to_string();
        send(&client, Request::new(data).with("partitionKey", "k")).await.expect("sent");
        send(&client, Request { body: bindwright::Body::None, ..Request::default() })
            .await
            .expect("a tombstone");

        let hex = fixture_of["hex"].as_str().expect("bytes");
        let digits = |index| u8::from_str_radix(&hex[index..index + 2], 16).expect("two digits");
        let body: Vec<u8> = (0..hex.len()).step_by(2).map(digits).collect();
        let records = fixture.records().await;
        assert_eq!(records[0].value, Some(prefixed(id, &body)));
        assert_eq!(records[1].value, None, "a tombstone stays one");

        let events = receive(&subscribe(&client).await, 2).await;
        let data: Value = serde_json::from_str(&text(&events[0])).expect("JSON");
        assert_eq!(data, fixture_of["plain"]);
        assert_eq!(events[0].metadata().get("__schemaId").as_deref(), Some(id.to_string().as_str()));
        assert_eq!(events[0].metadata().get("__key").as_deref(), Some("k"));
        assert!(events[1].body().is_none());
        close(&client).await;
    }
}

#[tokio::test]
async fn a_call_says_for_itself_how_its_value_is_encoded() {
    let Some((fixture, registry)) = avro("").await else { return };
    // The component has a registry, and no opinion.
    fixture.write(&format!("schemaRegistryURL: {}", registry.url()));
    let id = registry.register(&subject(&fixture), &price());
    let client = fixture.client();
    let call = |kind: &str| Request::new(r#"{"price": 7}"#).with("valueSchemaType", kind);
    for kind in ["AVRO", "none", "avro"] {
        send(&client, call(kind)).await.expect("sent");
    }
    send(&client, Request::new("plain")).await.expect("sent");
    let error = refused(&client, call("Protobuf")).await;
    assert_eq!(error.message(), "valueSchemaType: expected Avro or none, got \"Protobuf\"");
    let events = receive(&subscribe(&client).await, 4).await;
    // Without the component's setting the bytes come as they are.
    let bodies: Vec<_> =
        events.iter().map(|event| event.body().as_bytes().expect("a body").to_vec()).collect();
    let avro = prefixed(id, &[14]);
    assert_eq!(bodies, [avro.clone(), br#"{"price": 7}"#.to_vec(), avro, b"plain".to_vec()]);
    close(&client).await;

    fixture.write("");
    let client = fixture.client();
    let error = refused(&client, call("Avro")).await;
    assert_eq!(error.code(), ErrorCode::InvalidRequest);
    assert!(error.message().contains("schemaRegistryURL"), "{error}");
    close(&client).await;
}

#[tokio::test]
async fn data_that_does_not_fit_is_refused_and_nothing_is_sent() {
    let Some((fixture, registry)) = avro("maxMessageBytes: 1000").await else { return };
    let client = fixture.client();
    // Whatever the registry says, this is no JSON.
    let error = refused(&client, Request::new("x")).await;
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode::InvalidRequest, "$: expected JSON to encode as Avro")
    );
    let schema = json!({"type": "array", "items": price()});
    registry.register(&subject(&fixture), &schema);
    let error = refused(&client, Request::new(r#"[{"price": 1}, {"price": "x"}]"#)).await;
    assert_eq!(
        (error.code(), error.message()),
        (ErrorCode::InvalidRequest, r#"$[1].price: expected long, got "x""#)
    );
    assert_eq!(error.retriable(), Some(false));
    let requests = [r#"[{"price": 1}]"#, "[{}]", r#"[{"price": 3}]"#].map(Request::new).to_vec();
    let results = client.invoke_many("orders", "create", requests, None).await.expect("called");
    let codes: Vec<_> =
        results.iter().map(|result| result.as_ref().err().map(bindwright::Error::code)).collect();
    assert_eq!(codes, [None, Some(ErrorCode::InvalidRequest), None], "each has its own answer");
    // What counts is the record, which is shorter than its JSON.
    let long = format!("[{}]", vec![r#"{"price": 1}"#; 800].join(","));
    send(&client, Request::new(long)).await.expect("it is short enough");
    let longer = format!("[{}]", vec![r#"{"price": 1}"#; 1000].join(","));
    assert_eq!(refused(&client, Request::new(longer)).await.code(), ErrorCode::PayloadTooLarge);
    assert_eq!(fixture.records().await.len(), 3);
    close(&client).await;
}

#[tokio::test]
async fn a_schema_is_fetched_once_for_all_who_wait() {
    let Some((fixture, registry)) = avro("").await else { return };
    registry.register(&subject(&fixture), &price());
    registry.set(Mood::Silent);
    let client = fixture.client();
    let calls: Vec<_> = (0..1000)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(
                async move { send(&client, Request::new(format!(r#"{{"price": {number}}}"#))).await },
            )
        })
        .collect();
    // One who gives up does not take the answer from the others.
    let impatient = send_within(&client, 50, Request::new(r#"{"price": 0}"#)).await.expect_err("no answer");
    assert_eq!(impatient.code(), ErrorCode::Timeout, "{impatient}");
    assert!(impatient.message().contains(&subject(&fixture)), "{impatient}");
    registry.set(Mood::Well);
    for call in calls {
        call.await.expect("no panic").expect("sent");
    }
    assert_eq!(registry.take_paths(), [format!("/subjects/{}/versions/latest", subject(&fixture))]);

    // A newer version is not seen before its time, and an outage is not felt.
    registry.register(&subject(&fixture), &json!("string"));
    registry.set(Mood::Refuses(503));
    send(&client, Request::new(r#"{"price": 1}"#)).await.expect("sent");
    assert!(registry.take_paths().is_empty());
    close(&client).await;
}

#[tokio::test]
async fn without_caching_every_call_asks_and_a_list_asks_once() {
    for settings in ["schemaCachingEnabled: false", "schemaLatestVersionCacheTTL: 0s"] {
        let Some((fixture, registry)) = avro(settings).await else { return };
        registry.register(&subject(&fixture), &price());
        let client = fixture.client();
        let requests: Vec<_> = (0..20_000).map(|_| Request::new(r#"{"price": 1}"#)).collect();
        let results = client.invoke_many("orders", "create", requests, None).await.expect("called");
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(registry.take_paths().len(), 1);
        registry.register(&subject(&fixture), &json!("string"));
        send(&client, Request::new("\"new\"")).await.expect("the newest version is used");
        assert_eq!(registry.take_paths().len(), 1);
        close(&client).await;
    }
}

#[tokio::test]
async fn an_old_schema_stands_in_while_the_registry_is_away() {
    let Some((fixture, registry)) = avro("schemaLatestVersionCacheTTL: 1ms").await else { return };
    registry.register(&subject(&fixture), &price());
    let client = fixture.client();
    send(&client, Request::new(r#"{"price": 1}"#)).await.expect("sent");
    registry.set(Mood::Refuses(503));
    registry.take_paths();
    while registry.take_paths().is_empty() {
        send(&client, Request::new(r#"{"price": 2}"#)).await.expect("sent with what is known");
    }
    close(&client).await;
}

#[tokio::test]
async fn each_fault_of_the_registry_has_its_code() {
    let Some((fixture, registry)) = avro("").await else { return };
    let client = fixture.client();
    let request = || Request::new(r#"{"price": 1}"#);
    let error = refused(&client, request()).await;
    assert_eq!(error.code(), ErrorCode::TargetNotFound);
    let expected =
        format!("subject {:?} is not in the schema registry at {}", subject(&fixture), registry.url());
    assert_eq!((error.message(), error.backend_text()), (expected.as_str(), Some("Subject not found.")));
    for (status, code, retriable) in [
        (401, ErrorCode::Unauthenticated, false),
        (403, ErrorCode::PermissionDenied, false),
        (429, ErrorCode::Unavailable, true),
        (500, ErrorCode::Unavailable, true),
        (503, ErrorCode::Unavailable, true),
        (301, ErrorCode::Backend, false),
    ] {
        registry.set(Mood::Refuses(status));
        let error = refused(&client, request()).await;
        assert_eq!((error.code(), error.retriable()), (code, Some(retriable)), "{status}: {error}");
    }
    registry.set(Mood::Well);
    for (answer, expected) in [
        (
            json!({"schema": "{}", "schemaType": "JSON"}),
            "is of the kind JSON in the schema registry, expected AVRO",
        ),
        (json!({"schema": "syntax = \"proto3\";", "schemaType": "PROTOBUF"}), "is of the kind PROTOBUF"),
        (json!({"schema": "\"Nothing\""}), "cannot be used: no type is called \"Nothing\""),
    ] {
        registry.register_as(&subject(&fixture), answer);
        let error = refused(&client, request()).await;
        assert_eq!(error.code(), ErrorCode::InvalidRequest);
        assert!(error.message().contains(expected), "{error}");
    }
    registry.register_as(&subject(&fixture), json!({"nonsense": true}));
    assert_eq!(refused(&client, request()).await.code(), ErrorCode::Backend);
    assert!(fixture.records().await.is_empty());
    close(&client).await;
}

#[tokio::test]
async fn addresses_are_tried_in_turn_with_their_path_and_credentials() {
    let Some((fixture, registry)) = avro("").await else { return };
    registry.register(&subject(&fixture), &price());
    registry.stand_behind("/apis/registry");
    // "me:p@ss"
    registry.ask_for("Basic bWU6cEBzcw==");
    let closed = Registry::start();
    closed.set(Mood::Refuses(502));
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let address = registry.url().replace("http://", "");
    let urls =
        |user: &str| format!("http://{nobody}, {},http://{user}@{address}/apis/registry/", closed.url());
    let component = |user: &str, more: &str| {
        fixture.write(&format!("schemaRegistryURL: {}\nvalueSchemaType: Avro\n{more}", urls(user)));
        fixture.client()
    };
    let request = || Request::new(r#"{"price": 1}"#);

    let client = component("me:p%40ss", "");
    send(&client, request()).await.expect("sent");
    close(&client).await;
    let client = component("other:word", "schemaRegistryAPIKey: me\nschemaRegistryAPISecret: p@ss");
    send(&client, request()).await.expect("the settings count");
    close(&client).await;

    let client = component("me:geheim", "");
    let error = refused(&client, request()).await;
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    for shown in [error.to_string(), format!("{error:?}"), format!("{:?}", client.components().await)] {
        assert!(!shown.contains("geheim"), "{shown}");
    }
    close(&client).await;
}

#[tokio::test]
async fn what_a_schema_refers_to_is_fetched_as_well() {
    let Some((fixture, registry)) = avro("").await else { return };
    let referring = |schema: Value, subjects: &[&str]| {
        let references: Vec<_> = subjects
            .iter()
            .map(|subject| json!({"name": subject, "subject": subject, "version": 1}))
            .collect();
        json!({"schema": schema.to_string(), "schemaType": "AVRO", "references": references})
    };
    let record = |name: &str, field: &str, of: &str| json!({"type": "record", "name": name, "namespace": "shop", "fields": [{"name": field, "type": of}]});
    registry.register("amount", &record("Amount", "cents", "long"));
    registry.register_as("line", referring(record("Line", "amount", "Amount"), &["amount"]));
    let order = json!({"type": "record", "name": "shop.Order", "fields": [
        {"name": "line", "type": "Line"}, {"name": "sum", "type": "shop.Amount"}]});
    registry.register_as(&subject(&fixture), referring(order, &["line", "amount"]));
    let client = fixture.client();
    let data = r#"{"line":{"amount":{"cents":5}},"sum":{"cents":6}}"#;
    send(&client, Request::new(data)).await.expect("sent");
    assert_eq!(registry.take_paths().len(), 3, "what is referred to twice is fetched once");
    assert_eq!(texts(&receive(&subscribe(&client).await, 1).await), [data]);
    let records = fixture.records().await;
    assert_eq!(records[0].value.as_deref().map(|value| &value[5..]), Some(&[10, 12][..]));
    assert_eq!(header(&records[0], "valueSchemaType"), None);
    close(&client).await;
}
