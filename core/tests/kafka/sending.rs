//! Sending: what arrives, what the reply says, what fails and how.

use std::time::{Duration, Instant};

use bindwright::{Body, ErrorCode, Request};

use crate::fixture::{Fixture, receive, subscribe};

#[tokio::test]
async fn bytes_key_headers_and_place_arrive_as_they_were_sent() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.create_topic(3).await;
    let client = fixture.client();
    let every_byte: Vec<u8> = (0..=255).collect();
    let request = Request::new(every_byte.clone()).with("partitionKey", "k").with("colour", "grün");
    let reply = client.invoke_binding("orders", "create", request, None).await.expect("sent");
    assert_eq!(reply.metadata.get("topic").as_deref(), Some(fixture.topic.as_str()));
    assert_eq!(reply.metadata.get("offset").as_deref(), Some("0"));

    let subscription = subscribe(&client).await;
    let event = &receive(&subscription, 1).await[0];
    assert_eq!(event.body().as_bytes().map(|bytes| bytes.to_vec()), Some(every_byte));
    let metadata = event.metadata();
    assert_eq!(metadata.get("__key").as_deref(), Some("k"));
    assert_eq!(metadata.get("colour").as_deref(), Some("grün"));
    assert_eq!(
        metadata.get("partitionKey").as_deref(),
        Some("k"),
        "every entry becomes a header, as in Dapr"
    );
    assert_eq!(metadata.get("__partition"), reply.metadata.get("partition"));
    assert_eq!(metadata.get("__offset").as_deref(), Some("0"));
    assert_eq!(metadata.get("__topic").as_deref(), Some(fixture.topic.as_str()));
    assert!(metadata.get("__timestamp").is_some());
    client.close(Duration::from_secs(5)).await.expect("closed");
}

#[tokio::test]
async fn no_body_is_a_tombstone_and_an_empty_one_is_not() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.create_topic(1).await;
    let client = fixture.client();
    for body in [Body::None, Body::empty(), Body::from("null")] {
        let request = Request::new(body).with("partitionKey", "k");
        client.invoke_binding("orders", "create", request, None).await.expect("sent");
    }
    let events = receive(&subscribe(&client).await, 3).await;
    assert_eq!(*events[0].body(), Body::None);
    assert_eq!(*events[1].body(), Body::empty());
    assert_eq!(*events[2].body(), Body::from("null"));
    client.close(Duration::from_secs(5)).await.expect("closed");
}

#[tokio::test]
async fn a_partition_number_is_kept_or_refused() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.create_topic(2).await;
    let client = fixture.client();
    let send = async |number: &str| {
        let request = Request::new("x").with("partitionNumber", number);
        client.invoke_binding("orders", "create", request, None).await
    };
    let reply = send("1").await.expect("sent");
    assert_eq!(reply.metadata.get("partition").as_deref(), Some("1"));
    for wrong in ["2", "-1", "x", ""] {
        let error = send(wrong).await.expect_err(wrong);
        assert_eq!(error.code(), ErrorCode::InvalidRequest, "{error}");
        assert_eq!(error.component_name(), Some("orders"));
        assert_eq!(error.operation_name(), Some("create"));
    }
}

#[tokio::test]
async fn many_requests_have_one_result_each() {
    let Some(fixture) = Fixture::new() else { return };
    fixture.create_topic(3).await;
    fixture.write("maxMessageBytes: 100000");
    let client = fixture.client();
    let mut requests: Vec<_> = (0..20_000).map(|number| Request::new(number.to_string())).collect();
    requests[7] = Request::new(vec![0; 200_000]);
    let results = client.invoke_many("orders", "create", requests, None).await.expect("sent");
    assert_eq!(results.len(), 20_000);
    for (index, result) in results.iter().enumerate() {
        match result {
            Ok(reply) => assert!(reply.metadata.get("offset").is_some()),
            Err(error) => assert_eq!((index, error.code()), (7, ErrorCode::PayloadTooLarge), "{error}"),
        }
    }
    let events = receive(&subscribe(&client).await, 19_999).await;
    let mut numbers: Vec<u32> =
        events.iter().map(|event| crate::fixture::text(event).parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 19_999);
    client.close(Duration::from_secs(5)).await.expect("closed");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_unavailable_at_the_deadline_and_nothing_is_sent() {
    let fixture = Fixture::on("127.0.0.1:1");
    let client = fixture.client();
    let since = Instant::now();
    let timeout = Some(Duration::from_millis(700));
    let error =
        client.invoke_binding("orders", "create", Request::new("x"), timeout).await.expect_err("refused");
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    assert_eq!(error.retriable(), Some(true));
    assert!(error.backend_text().is_some_and(|text| text.contains("refused")), "{error}");
    assert!((Duration::from_millis(600)..Duration::from_secs(5)).contains(&since.elapsed()));
}
