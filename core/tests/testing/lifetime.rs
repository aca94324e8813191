//! For whom a sandbox counts, and until when.

use bindwright::testing::Sandbox;
use bindwright::{Body, Client, ErrorCode, Metadata};

use crate::{Bench, PATIENCE, code, invoke, memory, push};

#[test]
fn there_is_one_sandbox_at_a_time() {
    let _bench = Bench::new(&[]);
    let first = Sandbox::open().expect("open");
    let error = Sandbox::open().expect_err("the second");
    assert_eq!(error.code(), ErrorCode::InvalidOptions);
    assert!(error.message().contains("there is a sandbox"), "{error}");
    drop(first);
    Sandbox::open().expect("the first has ended");
}

#[test]
fn clients_keep_what_they_were_opened_with() {
    let bench = Bench::new(&[memory("orders", "")]);
    let before = bench.client();
    let sandbox = Sandbox::open().expect("open");
    let inside = bench.client();
    let size = |client: &Client| invoke(client, "orders", "size", "").expect("answered").body;
    assert_eq!(size(&before), Body::from("0"), "a real one");
    assert_eq!(size(&inside), Body::None, "a fake");
    assert_eq!(sandbox.invocations(None).len(), 1);
    drop(sandbox);
    assert_eq!(code(invoke(&inside, "orders", "size", "")), ErrorCode::Closed);
    assert_eq!(size(&bench.client()), Body::from("0"), "a real one again");
    let next = Sandbox::open().expect("open");
    assert_eq!(code(invoke(&inside, "orders", "size", "")), ErrorCode::Closed, "not of the next sandbox");
    assert_eq!(size(&bench.client()), Body::None, "a fake");
    assert_eq!(next.invocations(None).len(), 1);
}

#[test]
fn who_waits_hears_of_the_end() {
    let bench = Bench::new(&[memory("orders", "")]);
    let sandbox = Sandbox::open().expect("open");
    let pushed = push(&sandbox, "a");
    let client = bench.client();
    std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| client.block_on(pushed.ended(PATIENCE), || false).expect("not interrupted"));
        sandbox.end();
        assert_eq!(code(waiting.join().expect("no panic")), ErrorCode::Closed);
    });
    assert_eq!(code(sandbox.push("orders", "b", Metadata::new(), None)), ErrorCode::Closed);
}
