//! The end of a client.

use std::time::{Duration, Instant};

use bindwright::{ErrorCode, Outcome, Request};

use crate::fixture::{Fixture, ask, until};

#[tokio::test]
async fn closing_waits_for_calls_under_way_then_closes_what_is_the_clients_own() {
    let fixture = Fixture::new();
    let client = fixture.client();
    client.add_component(&fixture.document("a", "mine", &[])).expect("added");
    let (caller, closer) = (client.clone(), client.clone());
    let call =
        tokio::spawn(async move { caller.invoke_binding("a", "wait", Request::default(), None).await });
    until("the call is under way", || fixture.world.count("invoke a mine") == 1).await;
    let close = tokio::spawn(async move { closer.close(Duration::from_secs(20)).await });
    // No new calls is the step right before the wait.
    let mut refused = false;
    while !refused {
        let (call, deadline) = (
            client.invoke_binding("a", "wait", Request::default(), Some(Duration::ZERO)),
            Duration::from_millis(5),
        );
        refused = tokio::time::timeout(deadline, call).await.is_ok_and(|result| result.is_err());
    }
    assert!(!close.is_finished());
    assert_eq!(fixture.world.count("close a mine"), 0);
    fixture.world.gate.add_permits(1);
    call.await.expect("no panic").expect("not cut off");
    close.await.expect("no panic").expect("closed");
    assert_eq!(fixture.world.count("close a mine"), 1);
    assert_eq!(ask(&client, "a").await, ErrorCode::Closed.as_str());
}

#[tokio::test]
async fn closing_waits_no_longer_than_it_may_and_cuts_nothing_off() {
    let fixture = Fixture::new();
    let client = fixture.client();
    client.add_component(&fixture.document("a", "mine", &[])).expect("added");
    let caller = client.clone();
    let call =
        tokio::spawn(async move { caller.invoke_binding("a", "wait", Request::default(), None).await });
    until("the call is under way", || fixture.world.count("invoke a mine") == 1).await;
    let since = Instant::now();
    client.close(Duration::from_millis(100)).await.expect("closed");
    assert!(since.elapsed() >= Duration::from_millis(100));
    assert_eq!(fixture.world.count("close a mine"), 0);
    fixture.world.gate.add_permits(1);
    call.await.expect("no panic").expect("not cut off");
    until("it is closed", || fixture.world.count("close a mine") == 1).await;
}

#[tokio::test]
async fn a_handler_may_call_while_the_client_closes() {
    let fixture = Fixture::new();
    fixture.write("a", "1");
    let client = fixture.client();
    let caller = client.clone();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |_| {
        let (caller, tell) = (caller.clone(), tell.clone());
        async move {
            let call = caller.invoke_binding("a", "wait", Request::default(), None).await;
            tell.send(call.is_ok()).expect("the test waits");
            Outcome::Ack
        }
    };
    client.on("a", handler).await.expect("subscribed");
    fixture.world.receive("a 1", 1);
    until("the handler calls", || fixture.world.count("invoke a 1") == 1).await;
    let closer = client.clone();
    let close = tokio::spawn(async move { closer.close(Duration::from_secs(20)).await });
    until("it is closing", || fixture.world.count("stopping a 1") == 1).await;
    fixture.world.gate.add_permits(1);
    assert_eq!(told.recv().await, Some(true));
    close.await.expect("no panic").expect("closed");
    assert_eq!(fixture.world.settled("a 1"), [1]);
}
