//! Policies on their way from the resources to the calls of a client.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bindwright::component::{Call, ComponentType, OutputBinding, register};
use bindwright::{Client, ClientOptions, Error, ErrorCode, HandOut, Reply, Request, Result};

/// Says "busy" to every `fail` and to every other `create`.
struct Moody(AtomicU32);

#[async_trait]
impl OutputBinding for Moody {
    fn operations(&self) -> &[&'static str] {
        &["create", "fail"]
    }

    async fn invoke(&self, call: &Call, request: Request) -> Result<Reply> {
        if &*call.operation == "fail" || self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            return Err(Error::new(ErrorCode::Unavailable, "busy"));
        }
        Ok(Reply { body: request.body, ..Reply::default() })
    }

    async fn close(&self, _deadline: Instant) -> Result<()> {
        Ok(())
    }
}

const COMPONENTS: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: orders}
spec: {type: bindings.moody, version: v1}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: plain}
spec: {type: bindings.moody, version: v1}
---
";

/// A client of the components, with this as the `spec` of a `Resiliency` document; `name` is the test's.
fn client(name: &str, spec: &str) -> Client {
    register(ComponentType::new("bindings.moody").output(|_| Ok(Arc::new(Moody(AtomicU32::new(0))))));
    let folder = tempfile::Builder::new().prefix(name).tempdir().expect("a folder");
    let document = format!("apiVersion: dapr.io/v1alpha1\nkind: Resiliency\nspec: {spec}\n");
    fs::write(folder.path().join("a.yaml"), COMPONENTS.to_owned() + &document).expect("a file");
    Client::open(ClientOptions {
        resources: Some(vec![folder.path().to_owned()]),
        ..ClientOptions::default()
    })
    .expect("a client")
}

fn invoke(client: &Client, name: &str, operation: &str) -> Result<Reply> {
    client
        .invoke_binding_blocking(name, operation, Request::new("x"), Some(Duration::from_secs(20)), || false)
}

#[test]
fn a_component_gets_its_policy_and_the_others_none() {
    let client = client(
        "own",
        "{policies: {retries: {quick: {duration: 10ms, maxRetries: 3}}}, \
         targets: {components: {orders: {outbound: {retry: quick}}}}}",
    );
    assert!(client.faults().is_empty(), "{:?}", client.faults());
    invoke(&client, "orders", "create").expect("the second attempt");
    assert_eq!(invoke(&client, "plain", "create").expect_err("one attempt").message(), "busy");
    let requests = vec![Request::new("x"); 5];
    let results = client.invoke_many_blocking("orders", "create", requests, None, || false).expect("results");
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 5, "{results:?}");
}

#[test]
fn the_breaker_of_a_component_lasts_from_call_to_call() {
    let client = client("breaker", "{policies: {circuitBreakers: {DefaultCircuitBreakerPolicy: {}}}}");
    for _ in 0..6 {
        assert_eq!(invoke(&client, "orders", "fail").expect_err("told to").code(), ErrorCode::Unavailable);
    }
    let error = invoke(&client, "orders", "create").expect_err("it is open");
    assert_eq!(
        (error.code(), error.component_name(), error.operation_name()),
        (ErrorCode::CircuitOpen, Some("orders"), Some("create"))
    );
    assert_eq!(invoke(&client, "plain", "create").expect_err("its own breaker").message(), "busy");
}

#[test]
fn a_policy_that_is_not_there_spoils_its_direction_only() {
    let client = client(
        "unknown",
        "{targets: {components: {orders: {outbound: {retry: nothing}}, plain: {inbound: {retry: nothing}}}}}",
    );
    assert_eq!(client.faults().len(), 2, "{:?}", client.faults());
    let error = invoke(&client, "orders", "create").expect_err("an unknown policy");
    assert_eq!((error.code(), error.component_name()), (ErrorCode::InvalidManifest, Some("orders")));
    let place = error.place_in_file().expect("a place");
    assert_eq!((place.line, place.column), (14, 58));
    assert_eq!(invoke(&client, "plain", "create").expect_err("told to").message(), "busy");
    let subscribed = client.block_on(client.subscribe("plain", HandOut::LaneAtATime), || false);
    let error = subscribed.expect("not interrupted").expect_err("an unknown policy");
    assert_eq!(error.code(), ErrorCode::InvalidManifest);
}
