//! Sending: what arrives, what the reply says, what fails and how.

use std::time::{Duration, Instant};

use std::collections::BTreeMap;

use bindwright::{Body, ErrorCode, Request};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::fixture::{Fixture, close, code, receive, send, subscribe};

#[tokio::test]
async fn bytes_key_headers_and_place_arrive_as_they_were_sent() {
    let Some(fixture) = Fixture::with_topic(3).await else { return };
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
    close(&client).await;
}

#[tokio::test]
async fn no_body_is_a_tombstone_and_an_empty_one_is_not() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    let client = fixture.client();
    for body in [Body::None, Body::empty(), Body::from("null")] {
        let request = Request::new(body).with("partitionKey", "k");
        client.invoke_binding("orders", "create", request, None).await.expect("sent");
    }
    let events = receive(&subscribe(&client).await, 3).await;
    assert_eq!(*events[0].body(), Body::None);
    assert_eq!(*events[1].body(), Body::empty());
    assert_eq!(*events[2].body(), Body::from("null"));
    close(&client).await;
}

#[tokio::test]
async fn a_partition_number_is_kept_or_refused() {
    let Some(fixture) = Fixture::with_topic(2).await else { return };
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
    let Some(fixture) = Fixture::with_topic(3).await else { return };
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
    close(&client).await;
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

#[tokio::test]
async fn what_kafka_holds_is_what_was_sent_and_the_reply_says_where() {
    let Some(fixture) = Fixture::with_topic(3).await else { return };
    fixture.write("excludeHeaderMetaRegex: ^secret");
    let client = fixture.client();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = Request::new(vec![0, 255, 254, b'\n'])
        .with("__key", "schlüssel")
        .with("traceparent", trace)
        .with("secret-token", "must not leave")
        .with("colour", "");
    let reply = send(&client, request).await.expect("sent");

    let records = fixture.records().await;
    let [record] = records.as_slice() else { panic!("one record: {records:?}") };
    assert_eq!(record.value, Some(vec![0, 255, 254, b'\n']));
    assert_eq!(record.key.as_deref(), Some("schlüssel".as_bytes()));
    let headers: Vec<_> =
        record.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value))).collect();
    let expected = [("__key", "schlüssel".into()), ("traceparent", trace.into()), ("colour", "".into())];
    assert_eq!(headers, expected);
    assert_eq!(reply.body, Body::None);
    assert_eq!(reply.metadata.get("partition"), Some(record.partition.to_string().into()));
    assert_eq!(reply.metadata.get("offset"), Some(record.offset.to_string().into()));
    close(&client).await;
}

#[tokio::test]
async fn keys_go_where_librdkafkas_fnv1a_random_puts_them() {
    let Some(fixture) = Fixture::with_topic(7).await else { return };
    let client = fixture.client();
    let mut keys: Vec<String> = (0..200).map(|number| format!("order-{number}")).collect();
    keys.extend(["ü".repeat(40), "a".to_owned(), "\u{1F600}".to_owned(), " ".to_owned()]);
    let requests = keys.iter().map(|key| Request::new("ours").with("partitionKey", key)).collect();
    let results = client.invoke_many("orders", "create", requests, None).await.expect("sent");
    let ours: Vec<String> = results
        .into_iter()
        .map(|result| result.expect("sent").metadata.get("partition").expect("partition").into_owned())
        .collect();

    let (mut config, topic, theirs) = (fixture.config(), fixture.topic.clone(), keys.clone());
    config.set("partitioner", "fnv1a_random");
    let placed = tokio::task::spawn_blocking(move || {
        let producer: BaseProducer = config.create().expect("producer");
        for key in &theirs {
            let record = BaseRecord::to(&topic).key(key.as_bytes()).payload("theirs");
            producer.send(record).map_err(|(error, _)| error).expect("queued");
        }
        producer.flush(crate::fixture::PATIENCE).expect("written");
    });
    placed.await.expect("placed");

    let mut places = BTreeMap::<Vec<u8>, Vec<i32>>::new();
    for record in fixture.records().await {
        places.entry(record.key.expect("a key")).or_default().push(record.partition);
    }
    for (key, ours) in keys.iter().zip(&ours) {
        let both = &places[key.as_bytes()];
        assert_eq!(both.len(), 2);
        assert_eq!(both[0], both[1], "librdkafka puts {key:?} elsewhere");
        assert_eq!(both[0].to_string(), *ours);
    }
    close(&client).await;
}

#[tokio::test]
async fn records_of_a_key_keep_their_order_and_keyless_ones_spread() {
    let Some(fixture) = Fixture::with_topic(5).await else { return };
    let client = fixture.client();
    let keyed = (0..3_000).map(|number: usize| {
        Request::new(number.to_string()).with("partitionKey", format!("key-{}", number % 11))
    });
    let results = client.invoke_many("orders", "create", keyed.collect(), None).await.expect("sent");
    assert!(results.iter().all(Result::is_ok));
    let mut last = BTreeMap::<Vec<u8>, usize>::new();
    for record in fixture.records().await {
        let number: usize = record.text().parse().expect("a number");
        let before = last.insert(record.key.expect("a key"), number);
        assert!(before.is_none_or(|before| before < number), "{before:?} stands before {number}");
    }
    assert_eq!(last.len(), 11);

    let mut partitions = BTreeMap::<String, usize>::new();
    for _ in 0..100 {
        let reply = send(&client, Request::new("keyless")).await.expect("sent");
        *partitions.entry(reply.metadata.get("partition").expect("partition").into_owned()).or_default() += 1;
    }
    assert_eq!(partitions.len(), 5, "{partitions:?}");
    close(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_at_once_get_each_its_own_receipt() {
    let Some(fixture) = Fixture::with_topic(3).await else { return };
    let client = fixture.client();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..64 {
        let client = client.clone();
        tasks.spawn(async move {
            let mut receipts = Vec::new();
            for number in 0..25 {
                let text = format!("{task}/{number}");
                let reply = send(&client, Request::new(text.clone())).await.expect("sent");
                let number =
                    |name: &str| reply.metadata.get(name).expect(name).parse::<i64>().expect("a number");
                receipts.push((number("partition"), number("offset"), text));
            }
            receipts
        });
    }
    let mut receipts: Vec<_> = tasks.join_all().await.concat();
    receipts.sort_unstable();
    let held: Vec<_> = fixture
        .records()
        .await
        .iter()
        .map(|record| (i64::from(record.partition), record.offset, record.text()))
        .collect();
    assert_eq!(receipts, held);
    close(&client).await;
}

#[tokio::test]
async fn without_acknowledgements_there_is_no_offset_in_the_reply() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    for (acks, offset) in [("none", None), ("local", Some("1")), ("all", Some("2"))] {
        fixture.write(&format!("producerRequiredAcks: {acks}"));
        let client = fixture.client();
        let reply = send(&client, Request::new(acks)).await.expect("sent");
        assert_eq!(reply.metadata.get("offset").as_deref(), offset, "{acks}");
        crate::fixture::until("it is there", async || {
            fixture.records().await.iter().any(|record| record.text() == acks)
        })
        .await;
        close(&client).await;
    }
}

#[tokio::test]
async fn records_arrive_whole_with_every_compression() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    let body = "a line of text that can be made shorter; ".repeat(500);
    for compression in ["gzip", "snappy", "lz4", "zstd"] {
        fixture.write(&format!("compression: {compression}"));
        let client = fixture.client();
        send(&client, Request::new(body.clone())).await.expect(compression);
        close(&client).await;
    }
    let records = fixture.records().await;
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|record| record.text() == body));
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_anything_leaves() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    let client = fixture.client();
    let result = client.invoke_binding("orders", "get", Request::new("x"), None).await;
    assert_eq!(code(result), ErrorCode::UnsupportedOperation);
    let result = client.invoke_binding("order", "create", Request::new("x"), None).await;
    assert_eq!(code(result), ErrorCode::ComponentNotFound);
    let result = send(&client, Request::new("x").with("valueSchemaType", "Avro")).await;
    assert_eq!(code(result), ErrorCode::InvalidRequest);
    let result = send(&client, Request::new("x").with("a\0b", "c")).await;
    assert_eq!(code(result), ErrorCode::InvalidRequest);
    close(&client).await;
    assert_eq!(code(send(&client, Request::new("x")).await), ErrorCode::Closed);
    assert_eq!(fixture.records().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_callers_and_tasks_share_one_binding() {
    let Some(fixture) = Fixture::with_topic(3).await else { return };
    let client = fixture.client();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let request = Request::new("from a thread");
                    client
                        .invoke_binding_blocking("orders", "create", request, None, || false)
                        .expect("sent");
                }
            })
        })
        .collect();
    for _ in 0..50 {
        send(&client, Request::new("from a task")).await.expect("sent");
    }
    let joined =
        tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| thread.join().expect("done")));
    joined.await.expect("joined");
    assert_eq!(fixture.records().await.len(), 8 * 50 + 50);
    close(&client).await;
}

#[tokio::test]
async fn a_blocking_caller_can_be_interrupted() {
    let fixture = Fixture::on("127.0.0.1:1");
    let client = fixture.client();
    let since = Instant::now();
    let result = client.invoke_binding_blocking("orders", "create", Request::new("x"), None, || {
        since.elapsed() > Duration::from_millis(200)
    });
    assert_eq!(code(result), ErrorCode::Cancelled);
    assert!(since.elapsed() < Duration::from_secs(2));
    close(&client).await;
}
