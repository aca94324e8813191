//! What librdkafka offers and the rdkafka crate does not wrap, or wraps with a panic. The only unsafe code of core.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CStr, CString, c_void};
use std::ptr;
use std::sync::Arc;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;

type Callback = Box<dyn Fn() + Send + Sync>;

/// Tells when a client's main queue, where delivery reports arrive, is no longer empty.
pub(super) struct QueueSignal {
    queue: *mut sys::rd_kafka_queue_t,
    /// librdkafka holds the address of the inner box; the outer one gives it a thin pointer.
    _callback: Box<Callback>,
    /// Keeps the client alive as long as its queue is watched.
    _client: Arc<dyn Any + Send + Sync>,
}

// SAFETY: librdkafka's queues are thread safe, and the callback is Send and Sync.
unsafe impl Send for QueueSignal {}
// SAFETY: as above; all methods take `&self` and call thread-safe functions.
unsafe impl Sync for QueueSignal {}

unsafe extern "C" fn queue_is_not_empty(_client: *mut sys::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the address given to rd_kafka_queue_cb_event_enable, which `QueueSignal` keeps alive until
    // it has switched the callback off.
    let callback = unsafe { &*opaque.cast::<Callback>() };
    callback();
}

impl QueueSignal {
    /// Calls `callback` on one of librdkafka's threads whenever the main queue of `producer` gets its first entry.
    pub(super) fn new<C: ProducerContext + Send + Sync + 'static>(
        producer: &Arc<BaseProducer<C>>,
        callback: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let callback: Box<Callback> = Box::new(Box::new(callback));
        // SAFETY: the producer is alive here and, by `_client`, as long as the queue is used; the callback's address
        // stays valid as long as the box is kept.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_get_main(producer.client().native_ptr());
            let opaque = ptr::from_ref::<Callback>(&callback).cast_mut().cast();
            sys::rd_kafka_queue_cb_event_enable(queue, Some(queue_is_not_empty), opaque);
            queue
        };
        Self { queue, _callback: callback, _client: producer.clone() }
    }

    /// The number of entries in the queue.
    pub(super) fn len(&self) -> usize {
        // SAFETY: the queue is ours until drop.
        unsafe { sys::rd_kafka_queue_length(self.queue) }
    }
}

impl Drop for QueueSignal {
    fn drop(&mut self) {
        // SAFETY: the queue is ours; after the first call librdkafka does not call back any more.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// Reads the headers of a message as bytes. The crate's own reader panics on names that are not UTF-8, and anybody
/// who may write to a topic can send those.
pub(super) fn read_headers(message: &BorrowedMessage<'_>, mut each: impl FnMut(&[u8], &[u8])) {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is borrowed, so its headers live through this function; librdkafka keeps owning them.
    unsafe {
        if sys::rd_kafka_message_headers(message.ptr(), &raw mut headers)
            != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return;
        }
        for index in 0..sys::rd_kafka_header_cnt(headers) {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            let found =
                sys::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size);
            if found != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
                continue;
            }
            let value =
                if value.is_null() { &[][..] } else { std::slice::from_raw_parts(value.cast::<u8>(), size) };
            each(CStr::from_ptr(name).to_bytes(), value);
        }
    }
}

/// Starts a commit whose result comes through the consumer's own queue. The crate's asynchronous commit tells nobody
/// how it ended.
pub(super) fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
) -> Result<(), RDKafkaErrorCode> {
    let client = consumer.client().native_ptr();
    // SAFETY: the consumer is alive; librdkafka copies the list and takes a reference of its own to the queue.
    let code = unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(client);
        if queue.is_null() {
            return Err(RDKafkaErrorCode::UnknownGroup);
        }
        let code = sys::rd_kafka_commit_queue(client, offsets.ptr(), queue, None, ptr::null_mut());
        sys::rd_kafka_queue_destroy(queue);
        code
    };
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(code.into()) }
}

/// Whether a record whose delivery failed can have reached the broker.
pub(super) fn may_be_persisted(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the message is borrowed and comes from a delivery report.
    let status = unsafe { sys::rd_kafka_message_status(message.ptr()) };
    status != sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

/// Changes the address that a mock cluster's broker gives to clients, and how long it waits for more members of a new
/// group; `false` when the client has no mock cluster.
pub(super) fn set_up_mock_broker<C: ClientContext>(
    client: &Client<C>,
    broker: i32,
    host: &CString,
    port: u16,
    group_delay_ms: i32,
) -> bool {
    // SAFETY: the client is alive; the cluster belongs to it, and librdkafka copies the host.
    unsafe {
        let cluster = sys::rd_kafka_handle_mock_cluster(client.native_ptr());
        if cluster.is_null() {
            return false;
        }
        sys::rd_kafka_mock_broker_set_host_port(cluster, broker, host.as_ptr(), i32::from(port));
        sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, group_delay_ms);
        true
    }
}

/// Makes librdkafka believe that its producer met a fatal error, which no broker can be made to cause at will.
#[cfg(test)]
pub(super) fn raise_fatal_error<C: ClientContext>(client: &Client<C>) {
    let code = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    // SAFETY: the client is alive, and the reason ends with a zero byte.
    unsafe { sys::rd_kafka_test_fatal_error(client.native_ptr(), code, c"made by a test".as_ptr()) };
}
