//! What librdkafka offers and the rdkafka crate does not wrap, or wraps with a panic. The only unsafe code of core.
#![allow(unsafe_code)]

pub(super) mod describe;

use std::any::Any;
use std::ffi::{CStr, CString, c_void};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::guard;
use super::tokens::Token;
use crate::process;

type Callback = Box<dyn Fn() + Send + Sync>;

/// A handle of librdkafka, or what holds one. A child of `fork` inherits it without the threads that serve it, and
/// perhaps with locks that nobody will ever unlock: there it is leaked, because destroying it would wait for ever.
pub(super) struct OfThisProcess<T> {
    value: ManuallyDrop<T>,
    process: u32,
}

impl<T> OfThisProcess<T> {
    pub(super) fn new(value: T) -> Self {
        Self { value: ManuallyDrop::new(value), process: process::id() }
    }

    /// Whether it was made here, and not by a parent.
    pub(super) fn is_ours(&self) -> bool {
        self.process == process::id()
    }
}

impl<T> Deref for OfThisProcess<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for OfThisProcess<T> {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: dropped here only, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

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
    guard::quietly(callback);
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

/// The newest offset of a partition, or why it is not known.
pub(super) type NewestOffset = (String, i32, Result<i64, RDKafkaErrorCode>);

/// A question to the brokers that nobody waits for: where some partitions end.
pub(super) struct NewestOffsets {
    queue: *mut sys::rd_kafka_queue_t,
    /// Keeps the client alive as long as it has a queue for the answer.
    _client: Arc<dyn Any + Send + Sync>,
}

// SAFETY: librdkafka's queues are thread safe.
unsafe impl Send for NewestOffsets {}

impl NewestOffsets {
    /// Asks for the ends of partitions as a consumer sees them, which is before the first open transaction.
    pub(super) fn ask<C: ConsumerContext + 'static>(
        consumer: &Arc<BaseConsumer<C>>,
        partitions: &TopicPartitionList,
        patience: Duration,
    ) -> Self {
        let client = consumer.client().native_ptr();
        let patience = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the consumer is alive here and, by `_client`, as long as the queue is; librdkafka copies list and
        // options.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_new(client);
            let options = sys::rd_kafka_AdminOptions_new(
                client,
                sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
            );
            sys::rd_kafka_AdminOptions_set_request_timeout(options, patience, ptr::null_mut(), 0);
            let refused = sys::rd_kafka_AdminOptions_set_isolation_level(
                options,
                sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            );
            if !refused.is_null() {
                sys::rd_kafka_error_destroy(refused);
            }
            sys::rd_kafka_ListOffsets(client, partitions.ptr(), options, queue);
            sys::rd_kafka_AdminOptions_destroy(options);
            queue
        };
        Self { queue, _client: consumer.clone() }
    }

    /// The answer, if it is there.
    pub(super) fn answer(&self) -> Option<Result<Vec<NewestOffset>, RDKafkaErrorCode>> {
        // SAFETY: the queue is ours until drop; what the result points to lives until the event is destroyed, and is
        // copied before.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.queue, 0);
            if event.is_null() {
                return None;
            }
            let failed = sys::rd_kafka_event_error(event);
            let mut offsets = Vec::new();
            let result = sys::rd_kafka_event_ListOffsets_result(event);
            if !result.is_null() {
                let mut count = 0;
                let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
                for index in 0..count {
                    let found = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*infos.add(index));
                    let code = (*found).err;
                    let ok = code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
                    let topic = CStr::from_ptr((*found).topic).to_string_lossy().into_owned();
                    offsets.push((
                        topic,
                        (*found).partition,
                        if ok { Ok((*found).offset) } else { Err(code.into()) },
                    ));
                }
            }
            sys::rd_kafka_event_destroy(event);
            let answered = failed == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            Some(if answered { Ok(offsets) } else { Err(failed.into()) })
        }
    }
}

impl Drop for NewestOffsets {
    fn drop(&mut self) {
        // SAFETY: the queue is ours, and its client is still alive.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) };
    }
}

/// The oldest offset that a partition had when it was last fetched from, without asking anybody.
pub(super) fn oldest_offset_seen<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut oldest, mut newest) = (-1, -1);
    // SAFETY: the consumer is alive, and librdkafka keeps none of these addresses.
    let code = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            consumer.client().native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut oldest,
            &raw mut newest,
        )
    };
    (code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && oldest >= 0).then_some(oldest)
}

/// Whether a record whose delivery failed can have reached the broker.
pub(super) fn may_be_persisted(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the message is borrowed and comes from a delivery report.
    let status = unsafe { sys::rd_kafka_message_status(message.ptr()) };
    status != sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}

/// Gives a client the token that it logs in with from now on, and lets connections that wait for one go on. `false`
/// when librdkafka refuses it. Its reason is not passed on, because it can quote the token.
pub(super) fn set_token<C: ClientContext>(client: &Client<C>, token: &Token) -> bool {
    let text = |text: &str| CString::new(text).ok();
    let (Some(value), Some(principal)) = (text(token.value.expose()), text(&token.principal)) else {
        return false;
    };
    let extensions: Option<Vec<CString>> =
        token.extensions.iter().flat_map(|(name, value)| [text(name), text(value)]).collect();
    let Some(extensions) = extensions else { return false };
    let mut addresses: Vec<_> = extensions.iter().map(|text| text.as_ptr()).collect();
    let mut reason = [0; 256];
    // SAFETY: the client is alive; librdkafka copies every text, and writes no more of its reason than it is told.
    let code = unsafe {
        sys::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.expires_at_ms(),
            principal.as_ptr(),
            addresses.as_mut_ptr(),
            addresses.len(),
            reason.as_mut_ptr(),
            reason.len(),
        )
    };
    code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::OfThisProcess;
    use crate::components::kafka::dev_broker::DevBroker;
    use crate::components::kafka::tests::{output, send, until_ready};

    unsafe extern "C" {
        fn fork() -> i32;
        fn alarm(seconds: u32) -> u32;
        fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
        fn _exit(code: i32) -> !;
    }

    #[test]
    fn a_handle_is_dropped_by_its_own_process_only() {
        let value = Arc::new(());
        drop(OfThisProcess::new(value.clone()));
        assert_eq!(Arc::strong_count(&value), 1);
        let mut inherited = OfThisProcess::new(value.clone());
        inherited.process += 1;
        drop(inherited);
        assert_eq!(Arc::strong_count(&value), 2, "it was leaked");
    }

    #[test]
    fn a_forked_child_drops_an_inherited_output_without_waiting() {
        let broker = DevBroker::start(0).expect("a broker");
        let output = output(&broker.bootstrap());
        until_ready(&output);
        send(&output).expect("sent");
        // SAFETY: the child only drops what it inherited, and ends.
        let child = unsafe { fork() };
        if child == 0 {
            // SAFETY: ends the child, by a signal if it waits for ever.
            unsafe { alarm(10) };
            drop(output);
            drop(broker);
            // SAFETY: nothing else of the test runs in the child.
            unsafe { _exit(0) };
        }
        let mut status = -1;
        // SAFETY: the address is of a local variable.
        let waited = unsafe { waitpid(child, &raw mut status, 0) };
        assert_eq!((waited, status), (child, 0), "14 is the alarm");
        send(&output).expect("the parent still sends");
    }
}
