//! Who hears of tokens: clients of librdkafka take them, and what users see of a component tells why there is none.

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, Producer};

use super::{Listener, News};
use crate::components::kafka::connection::Context;
use crate::components::kafka::consumer::Status;
use crate::components::kafka::sender::Sender;

impl Listener for BaseProducer<Context> {
    fn heard(&self, news: &News) {
        news.give_to(self.client());
    }
}

impl<C: ConsumerContext> Listener for BaseConsumer<C> {
    fn heard(&self, news: &News) {
        news.give_to(self.client());
    }
}

impl Listener for Sender {
    fn heard(&self, news: &News) {
        self.health.set_tokens(news.error.clone(), news.token.is_some());
        self.give_back_without_token();
    }
}

impl Listener for Status {
    fn heard(&self, news: &News) {
        self.set_tokens(news.error.clone(), news.token.is_some() && news.error.is_none());
    }
}
