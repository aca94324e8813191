//! Records of foreign producers: names, keys and values that are no text, names that pretend to be ours.

use std::ffi::{CString, c_void};
use std::time::Duration;

use bindwright::{Event, MetadataValue};
use rdkafka::bindings as sys;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::fixture::{Fixture, PATIENCE, close, receive, send, subscribe};

fn bytes(event: &Event, name: &str) -> Option<Vec<u8>> {
    event.metadata().value(name).map(|value| value.bytes().into_owned())
}

impl Fixture {
    async fn produce_with(&self, key: &'static [u8], headers: Vec<(&'static str, Option<&'static [u8]>)>) {
        let (config, topic) = (self.config(), self.topic.clone());
        let sent = tokio::task::spawn_blocking(move || {
            let producer: BaseProducer = config.create().expect("producer");
            let list = headers
                .into_iter()
                .fold(OwnedHeaders::new(), |list, (key, value)| list.insert(Header { key, value }));
            let record = BaseRecord::to(&topic).key(key).payload("x").headers(list);
            producer.send(record).map_err(|(error, _)| error).expect("queued");
            producer.flush(PATIENCE).expect("written");
        });
        sent.await.expect("sent");
    }

    /// A record with a header of this name. The crate's own producer takes names of text only.
    async fn produce_with_header_name(&self, name: &'static [u8]) {
        let (config, topic) = (self.config(), CString::new(self.topic.clone()).expect("no zero"));
        let sent = tokio::task::spawn_blocking(move || {
            let producer: BaseProducer = config.create().expect("producer");
            let name = CString::new(name).expect("no zero");
            // SAFETY: a plain value; the fields that its tag calls for are set below.
            let mut fields: [sys::rd_kafka_vu_t; 3] = unsafe { std::mem::zeroed() };
            fields[0].vtype = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC;
            fields[0].u.cstr = topic.as_ptr();
            fields[1].vtype = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADER;
            fields[1].u.header = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 {
                name: name.as_ptr(),
                val: b"\xff".as_ptr().cast::<c_void>(),
                size: 1,
            };
            fields[2].vtype = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS;
            fields[2].u.i = sys::RD_KAFKA_MSG_F_COPY;
            // SAFETY: the producer is alive, the fields are as the function expects them, and it copies what they
            // point to.
            let error = unsafe {
                sys::rd_kafka_produceva(producer.client().native_ptr(), fields.as_ptr(), fields.len())
            };
            assert!(error.is_null());
            producer.flush(PATIENCE).expect("written");
        });
        sent.await.expect("sent");
    }
}

#[tokio::test]
async fn keys_and_values_that_are_no_text_come_through_as_bytes() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.produce_with(b"\xff\x00\xfe", vec![("broken", Some(b"\xc3\x28\x00")), ("nothing", None)]).await;
    let client = fixture.client();
    let events = receive(&subscribe(&client).await, 1).await;
    let event = &events[0];
    assert_eq!(bytes(event, "__key"), Some(b"\xff\x00\xfe".to_vec()));
    assert_eq!(bytes(event, "broken"), Some(b"\xc3\x28\x00".to_vec()));
    assert_eq!(bytes(event, "nothing"), Some(Vec::new()));
    assert_eq!(event.metadata().get("broken").as_deref(), Some("\u{fffd}(\0"), "text replaces what is none");
    close(&client).await;
}

#[tokio::test]
async fn header_names_that_are_no_text_do_no_harm() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.produce_with_header_name(b"na\xffme").await;
    fixture.produce_with_header_name(b"").await;
    let client = fixture.client();
    let events = receive(&subscribe(&client).await, 2).await;
    assert_eq!(bytes(&events[0], "na\u{fffd}me"), Some(vec![0xff]));
    assert_eq!(bytes(&events[1], ""), Some(vec![0xff]));
    close(&client).await;
}

#[tokio::test]
async fn no_sender_can_pretend_another_place_or_key() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    let pretended = ["__topic", "__partition", "__offset", "__timestamp", "__key"];
    fixture.produce_with(b"real", pretended.map(|name| (name, Some(&b"pretended"[..]))).to_vec()).await;
    let client = fixture.client();
    let events = receive(&subscribe(&client).await, 1).await;
    for (name, value) in
        [("__topic", &*fixture.topic), ("__partition", "0"), ("__offset", "0"), ("__key", "real")]
    {
        assert_eq!(events[0].metadata().get(name).as_deref(), Some(value), "{name}");
    }
    let millis: i64 = events[0].metadata().get("__timestamp").expect("a time").parse().expect("a number");
    assert!(millis > 1_700_000_000_000);
    close(&client).await;
}

#[tokio::test]
async fn a_header_that_stands_twice_is_kept_twice_and_the_last_one_counts() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.produce_with(b"k", vec![("twice", Some(b"one")), ("twice", Some(b"two"))]).await;
    let client = fixture.client();
    let events = receive(&subscribe(&client).await, 1).await;
    assert_eq!(events[0].metadata().get("twice").as_deref(), Some("two"));
    let all: Vec<_> = events[0].metadata().iter().filter(|(name, _)| *name == "twice").collect();
    assert_eq!(all.len(), 2);
    close(&client).await;
}

#[tokio::test]
async fn excluded_headers_come_in_neither_way_and_escaped_ones_are_escaped() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.write("excludeHeaderMetaRegex: ^(internal|x)-\nescapeHeaders: true");
    fixture
        .produce_with(b"a b&c", vec![("internal-id", Some(b"1")), ("kept", Some("grün+".as_bytes()))])
        .await;
    let client = fixture.client();
    send(&client, bindwright::Request::new("ours").with("x-token", "secret").with("plain", "y z"))
        .await
        .expect("sent");
    let events = receive(&subscribe(&client).await, 2).await;
    assert_eq!(events[0].metadata().get("internal-id"), None);
    assert_eq!(events[0].metadata().get("kept").as_deref(), Some("gr%C3%BCn%2B"));
    assert_eq!(events[0].metadata().get("__key").as_deref(), Some("a+b%26c"));
    assert_eq!(events[1].metadata().get("x-token"), None);
    assert_eq!(events[1].metadata().get("plain").as_deref(), Some("y+z"));
    let records = fixture.records().await;
    let names: Vec<_> =
        records[1].headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    assert_eq!(names, [("plain", &b"y z"[..])], "what is sent is not escaped");
    close(&client).await;
}

#[tokio::test]
async fn many_and_large_headers_and_an_empty_key_arrive() {
    let Some(fixture) = Fixture::with_topic(3).await else { return };
    let client = fixture.client();
    let mut request = bindwright::Request::new("x").with("partitionKey", "");
    for number in 0..500 {
        request = request.with(format!("header-{number}"), "v".repeat(number));
    }
    send(&client, request).await.expect("sent");
    let events = receive(&subscribe(&client).await, 1).await;
    assert_eq!(events[0].metadata().value("__key").map(MetadataValue::text).as_deref(), Some(""));
    assert_eq!(events[0].metadata().get("header-499").map(|value| value.len()), Some(499));
    client.close(Duration::from_secs(5)).await.expect("closed");
}
