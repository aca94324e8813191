//! Events that their component could make nothing of: no handler gets them, and nothing overtakes them.

use super::{Bench, event, keyed, positions, until};
use crate::dispatch::rules::DeadLetters;
use crate::dispatch::{HandOut, OrderBy, Rules};
use crate::error::ErrorCode;
use crate::event::{Cause, NewEvent, Outcome};

const ALL: [HandOut; 3] = [HandOut::LaneAtATime, HandOut::Batches, HandOut::Freely];

fn unreadable(event: NewEvent) -> NewEvent {
    NewEvent { unreadable: Some(Box::new(Cause::new("UNREADABLE", "no body"))), ..event }
}

fn dead_letters(rules: &mut Rules) {
    rules.dead_letters = Some(DeadLetters { binding: "dead".into(), operation: "create".into() });
}

#[test]
fn an_unreadable_event_becomes_a_dead_letter_and_the_others_are_handled() {
    for hand_out in ALL {
        let bench = Bench::with(hand_out, dead_letters);
        let _source =
            bench.source_of(vec![unreadable(event(0)), event(1), unreadable(event(2)), event(3), event(4)]);
        let mut handled = Vec::new();
        while handled.len() < 3 {
            let batch = bench.take(5);
            handled.extend(positions(&batch));
            bench.settle_all(&batch, batch.iter().map(|_| Outcome::Ack));
        }
        assert_eq!(handled, [1, 3, 4]);
        let mut settled = bench.wait_settled(5);
        settled.sort_unstable();
        assert_eq!(settled, [0, 1, 2, 3, 4]);
        let sent = bench.sent.requests.lock();
        let code =
            |index: usize| sent[index].2.metadata.get("deadLetterCode").map(std::borrow::Cow::into_owned);
        assert_eq!((sent.len(), code(0).as_deref()), (2, Some("UNREADABLE")));
    }
}

#[test]
fn without_a_dead_letter_binding_it_holds_its_lane() {
    for hand_out in ALL {
        let bench = Bench::new(hand_out);
        let source = bench.source_of(vec![event(0), unreadable(event(1)), event(2), unreadable(event(3))]);
        let batch = bench.take(5);
        assert_eq!(positions(&batch), [0]);
        assert!(bench.settle(&batch[0], Outcome::Ack));
        assert!(bench.nothing_waits());
        assert!(source.is_blocked());
        assert_eq!((bench.settled(), source.outstanding()), (vec![0], 0));
        let error = bench.subscription.health().error.expect("it is visible");
        assert_eq!(error.code(), ErrorCode::EventBlocked);
        assert_eq!(error.message(), "the event at position 1 cannot be read and holds its partition");
        assert_eq!(error.backend_text(), Some("UNREADABLE: no body"));
    }
}

#[test]
fn under_order_by_key_it_holds_its_key_only() {
    let bench = Bench::with(HandOut::LaneAtATime, |rules| rules.order_by = OrderBy::Key);
    let _source = bench.source_of(vec![unreadable(keyed(0, "a")), keyed(1, "a"), keyed(2, "b")]);
    let batch = bench.take(5);
    assert_eq!(positions(&batch), [2]);
    assert!(bench.settle(&batch[0], Outcome::Ack));
    until("it is settled", || bench.settled() == [2]);
    assert!(bench.nothing_waits());
}
