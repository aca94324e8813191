//! What arrived, compared with what was sent: lost, repeated, out of order.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bindwright::{Client, Event, Outcome};
use parking_lot::Mutex;

use crate::fixture::{number, text};
use crate::server;

/// One delivery that a handler acked.
#[derive(Debug, Clone)]
pub struct Handled {
    pub partition: i64,
    pub offset: i64,
    pub text: String,
    /// Which of several consumers.
    pub by: &'static str,
}

/// Deliveries in the order in which they were handled.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Handled>>>);

impl Log {
    pub fn add(&self, by: &'static str, event: &Event) {
        let handled = Handled {
            partition: number(event, "__partition"),
            offset: number(event, "__offset"),
            text: text(event),
            by,
        };
        self.0.lock().push(handled);
    }

    /// Handles every event of `orders`, taking `pace` for each.
    pub async fn attach(&self, client: &Client, by: &'static str, pace: Duration) {
        let log = self.clone();
        let handler = move |event: Event| {
            let log = log.clone();
            async move {
                tokio::time::sleep(pace).await;
                log.add(by, &event);
                Outcome::Ack
            }
        };
        client.on("orders", handler).await.expect("attached");
    }

    pub fn all(&self) -> Vec<Handled> {
        self.0.lock().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub fn count_by(&self, by: &str) -> usize {
        self.0.lock().iter().filter(|handled| handled.by == by).count()
    }

    pub fn distinct(&self) -> usize {
        self.0.lock().iter().map(|handled| &handled.text).collect::<HashSet<_>>().len()
    }
}

#[derive(Debug)]
pub struct Figures {
    pub sent: usize,
    pub received: usize,
    pub lost: usize,
    pub duplicated: usize,
    /// Deliveries by partition that were not the first of their event.
    pub repeated: BTreeMap<i64, usize>,
    /// First handlings that came after one of a later offset of the same partition.
    pub out_of_order: usize,
}

/// Compares, and prints.
pub fn figures(what: &str, sent: &[String], handled: &[Handled]) -> Figures {
    let mut seen = BTreeSet::new();
    let mut repeated = BTreeMap::<i64, usize>::new();
    let mut highest = BTreeMap::<i64, i64>::new();
    let mut out_of_order = 0;
    for one in handled {
        if !seen.insert(one.text.clone()) {
            *repeated.entry(one.partition).or_default() += 1;
            continue;
        }
        let last = highest.entry(one.partition).or_insert(-1);
        out_of_order += usize::from(one.offset < *last);
        *last = one.offset.max(*last);
    }
    let lost = sent.iter().filter(|text| !seen.contains(*text)).count();
    let figures = Figures {
        sent: sent.len(),
        received: handled.len(),
        lost,
        duplicated: repeated.values().sum(),
        repeated,
        out_of_order,
    };
    server::say(&format!(
        "{what}: sent {}, received {}, lost {}, duplicated {}, out of order {}",
        figures.sent, figures.received, figures.lost, figures.duplicated, figures.out_of_order
    ));
    figures
}

/// The numbers that [`Fixture::produce_numbers`](crate::fixture::Fixture::produce_numbers) sends.
pub fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
