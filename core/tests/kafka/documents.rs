//! Documents as people have them: the old how-to pages, addresses with a scheme, misspelt settings.

use bindwright::{ErrorCode, Request};

use crate::fixture::{Fixture, close, code, receive, send, subscribe, text};

#[tokio::test]
async fn the_old_how_to_document_of_a_sender_works_with_a_warning() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.write_metadata(&format!(
        "    - name: brokers\n      value: {}\n    - name: publishTopic\n      value: {}\n",
        fixture.bootstrap, fixture.topic
    ));
    let client = fixture.client();
    send(&client, Request::new(r#"{"orderId":1}"#)).await.expect("sent");
    let faults = client.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].code(), ErrorCode::InvalidSettings);
    assert!(faults[0].to_string().contains("authType"), "{}", faults[0]);
    // It names no topics: it cannot receive, and says so.
    let error = client.subscribe("orders", bindwright::HandOut::Freely).await.expect_err("refused");
    assert_eq!(error.code(), ErrorCode::InvalidSettings);
    assert!(error.to_string().contains("topics"), "{error}");
    close(&client).await;
}

#[tokio::test]
async fn the_old_how_to_document_of_a_receiver_works() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.write_metadata(&format!(
        "  # Kafka broker connection setting\n  - name: brokers\n    value: {}\n  # consumer configuration: topic and \
         consumer group\n  - name: topics\n    value: {topic}\n  - name: consumerGroup\n    value: {}\n  \
         # publisher configuration: topic\n  - name: publishTopic\n    value: {topic}\n  - name: authRequired\n    \
         value: \"false\"\n  - name: initialOffset\n    value: oldest\n",
        fixture.bootstrap,
        fixture.group,
        topic = fixture.topic,
    ));
    let client = fixture.client();
    assert_eq!(client.faults().len(), 0, "{:?}", client.faults());
    send(&client, Request::new("hello")).await.expect("sent");
    let events = receive(&subscribe(&client).await, 1).await;
    assert_eq!(text(&events[0]), "hello");
    close(&client).await;
}

#[tokio::test]
async fn a_scheme_in_front_of_a_broker_is_left_out_with_a_warning() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.write(&format!("brokers: http://{}, http://127.0.0.1:1/", fixture.bootstrap));
    let client = fixture.client();
    send(&client, Request::new("x")).await.expect("sent");
    let faults = client.faults();
    assert!(faults.iter().any(|fault| fault.to_string().contains("host:port")), "{faults:?}");
    close(&client).await;
}

#[tokio::test]
async fn a_misspelt_setting_is_a_fault_with_a_suggestion_and_the_rest_works() {
    let Some(fixture) = Fixture::with_topic(1).await else { return };
    fixture.write("consumerGruop: x");
    let client = fixture.client();
    let faults = client.faults();
    let told = faults.iter().any(|fault| {
        fault.to_string().contains("consumerGruop") && fault.to_string().contains("consumerGroup")
    });
    assert!(told, "{faults:?}");
    close(&client).await;
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused_when_they_are_read() {
    let fixture = Fixture::on("127.0.0.1:1");
    for wrong in [
        "maxMessageBytes: 5",
        "authType: password",
        "initialOffset: yesterday",
        "brokers:  ",
        "maxUncommitted: 0",
    ] {
        fixture.write(wrong);
        let client = fixture.client();
        let (name, _) = wrong.split_once(':').expect("a name");
        assert!(
            client.faults().iter().any(|fault| fault.to_string().contains(name)),
            "{wrong}: {:?}",
            client.faults()
        );
        assert_eq!(code(send(&client, Request::new("x")).await), ErrorCode::InvalidSettings, "{wrong}");
        close(&client).await;
    }
}
