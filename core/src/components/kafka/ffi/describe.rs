//! Questions about the cluster that the rdkafka crate does not know. All of them block, and change nothing.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;
use sys::rd_kafka_AclOperation_t as Acl;
use sys::rd_kafka_admin_op_t as Op;
use sys::rd_kafka_consumer_group_state_t as GroupState;

/// Why there is no answer: the code, and the words for it.
#[derive(Debug, Clone)]
pub(in crate::components::kafka) struct Refusal {
    pub(in crate::components::kafka) code: RDKafkaErrorCode,
    pub(in crate::components::kafka) text: String,
}

/// What somebody may do, in the broker's words; `None` where it does not say.
pub(in crate::components::kafka) type Allowed = Option<Vec<&'static str>>;

/// A whole cluster.
pub(in crate::components::kafka) struct ClusterDescription {
    pub(in crate::components::kafka) id: Option<String>,
    pub(in crate::components::kafka) controller: Option<i32>,
    pub(in crate::components::kafka) brokers: Vec<(i32, String, u16)>,
}

/// A consumer group.
pub(in crate::components::kafka) struct GroupDescription {
    pub(in crate::components::kafka) state: &'static str,
    /// The strategy that the members agreed on; empty without members.
    pub(in crate::components::kafka) strategy: String,
    /// Client id and host of each.
    pub(in crate::components::kafka) members: Vec<(String, String)>,
    pub(in crate::components::kafka) allowed: Allowed,
}

/// Where in a partition.
#[derive(Clone, Copy)]
pub(in crate::components::kafka) enum Spot {
    Oldest,
    /// Before the first open transaction.
    Newest,
    /// The record with the latest time.
    Latest,
}

/// What a setting belongs to.
#[derive(Clone, Copy)]
pub(in crate::components::kafka) enum Holder {
    Topic,
    Broker,
}

/// An answer: topic, partition, and offset with time, or why there is none.
pub(in crate::components::kafka) type SpotFound = (String, i32, Result<(i64, i64), RDKafkaErrorCode>);

type Native = *mut sys::rd_kafka_t;
type Options = *mut sys::rd_kafka_AdminOptions_t;
type Queue = *mut sys::rd_kafka_queue_t;

/// Puts a question and waits for its answer.
fn ask<C: ClientContext, T>(
    client: &Client<C>,
    operation: Op,
    patience: Duration,
    put: impl FnOnce(Native, Options, Queue),
    read: impl FnOnce(*mut sys::rd_kafka_event_t) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    let patience = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    let native = client.native_ptr();
    // SAFETY: the client is alive through this function; queue, options and event are ours and destroyed here, the
    // event after it was read. librdkafka copies options and arguments.
    unsafe {
        let queue = sys::rd_kafka_queue_new(native);
        let options = sys::rd_kafka_AdminOptions_new(native, operation);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, patience, ptr::null_mut(), 0);
        put(native, options, queue);
        sys::rd_kafka_AdminOptions_destroy(options);
        // A little longer than the client library itself takes to give up.
        let event = sys::rd_kafka_queue_poll(queue, patience.saturating_add(500));
        let answer = if event.is_null() {
            Err(Refusal { code: RDKafkaErrorCode::OperationTimedOut, text: "no answer".to_owned() })
        } else {
            let code = sys::rd_kafka_event_error(event);
            let answer = if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                read(event)
            } else {
                Err(Refusal { code: code.into(), text: text(sys::rd_kafka_event_error_string(event)) })
            };
            sys::rd_kafka_event_destroy(event);
            answer
        };
        sys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// `text` is null or ends with a zero byte.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// # Safety
/// `error` is null or belongs to an event that lives.
unsafe fn refused(error: *const sys::rd_kafka_error_t) -> Result<(), Refusal> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: as the caller says.
    let (code, text) = unsafe { (sys::rd_kafka_error_code(error), text(sys::rd_kafka_error_string(error))) };
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    Err(Refusal { code: code.into(), text })
}

/// # Safety
/// `list` is null or has so many operations.
unsafe fn allowed(list: *const Acl, count: usize) -> Allowed {
    if list.is_null() {
        return None;
    }
    // SAFETY: as the caller says.
    let operations = unsafe { std::slice::from_raw_parts(list, count) };
    let word = |operation: &Acl| match operation {
        Acl::RD_KAFKA_ACL_OPERATION_ALL => Some("ALL"),
        Acl::RD_KAFKA_ACL_OPERATION_READ => Some("READ"),
        Acl::RD_KAFKA_ACL_OPERATION_WRITE => Some("WRITE"),
        Acl::RD_KAFKA_ACL_OPERATION_CREATE => Some("CREATE"),
        Acl::RD_KAFKA_ACL_OPERATION_DELETE => Some("DELETE"),
        Acl::RD_KAFKA_ACL_OPERATION_ALTER => Some("ALTER"),
        Acl::RD_KAFKA_ACL_OPERATION_DESCRIBE => Some("DESCRIBE"),
        Acl::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => Some("DESCRIBE_CONFIGS"),
        Acl::RD_KAFKA_ACL_OPERATION_ALTER_CONFIGS => Some("ALTER_CONFIGS"),
        _ => None,
    };
    Some(operations.iter().filter_map(word).collect())
}

fn with_permissions(options: Options) {
    // SAFETY: the options live; the error is ours.
    unsafe {
        let refused = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !refused.is_null() {
            sys::rd_kafka_error_destroy(refused);
        }
    }
}

fn no_zero(name: &str) -> Result<CString, Refusal> {
    let refusal =
        |_| Refusal { code: RDKafkaErrorCode::InvalidArgument, text: "a zero byte in a name".to_owned() };
    CString::new(name).map_err(refusal)
}

/// The cluster as a whole.
pub(in crate::components::kafka) fn cluster<C: ClientContext>(
    client: &Client<C>,
    patience: Duration,
) -> Result<ClusterDescription, Refusal> {
    let put = |native: Native, options: Options, queue: Queue| {
        // SAFETY: all three live, see `ask`.
        unsafe { sys::rd_kafka_DescribeCluster(native, options, queue) };
    };
    ask(client, Op::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER, patience, put, |event| {
        // SAFETY: the event is the answer to this question, and all that it points to lives as long as it does.
        unsafe {
            let result = sys::rd_kafka_event_DescribeCluster_result(event);
            let controller = sys::rd_kafka_DescribeCluster_result_controller(result);
            let id = text(sys::rd_kafka_DescribeCluster_result_cluster_id(result));
            let mut count = 0;
            let nodes = sys::rd_kafka_DescribeCluster_result_nodes(result, &raw mut count);
            let mut brokers = Vec::with_capacity(count);
            for index in 0..count {
                let node = *nodes.add(index);
                let host = text(sys::rd_kafka_Node_host(node));
                brokers.push((sys::rd_kafka_Node_id(node), host, sys::rd_kafka_Node_port(node)));
            }
            Ok(ClusterDescription {
                id: Some(id).filter(|id| !id.is_empty()),
                controller: (!controller.is_null()).then(|| sys::rd_kafka_Node_id(controller)),
                brokers,
            })
        }
    })
}

/// What somebody may do with a topic.
pub(in crate::components::kafka) fn topic_permissions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    patience: Duration,
) -> Result<Allowed, Refusal> {
    let name = no_zero(topic)?;
    let put = |native: Native, options: Options, queue: Queue| {
        with_permissions(options);
        // SAFETY: all three live, see `ask`; the collection copies the names.
        unsafe {
            let mut names = [name.as_ptr()];
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1);
            sys::rd_kafka_DescribeTopics(native, topics, options, queue);
            sys::rd_kafka_TopicCollection_destroy(topics);
        }
    };
    ask(client, Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, patience, put, |event| {
        // SAFETY: as in `cluster`.
        unsafe {
            let result = sys::rd_kafka_event_DescribeTopics_result(event);
            let mut count = 0;
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            if count == 0 {
                return Ok(None);
            }
            refused(sys::rd_kafka_TopicDescription_error(*topics))?;
            let operations = sys::rd_kafka_TopicDescription_authorized_operations(*topics, &raw mut count);
            Ok(allowed(operations, count))
        }
    })
}

/// A consumer group, without joining it.
pub(in crate::components::kafka) fn group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    patience: Duration,
) -> Result<GroupDescription, Refusal> {
    let name = no_zero(group)?;
    let put = |native: Native, options: Options, queue: Queue| {
        with_permissions(options);
        // SAFETY: all three live, see `ask`; the names are copied.
        unsafe {
            let mut names = [name.as_ptr()];
            sys::rd_kafka_DescribeConsumerGroups(native, names.as_mut_ptr(), 1, options, queue);
        }
    };
    ask(client, Op::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, patience, put, |event| {
        // SAFETY: as in `cluster`.
        unsafe {
            let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
            let mut count = 0;
            let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
            if count == 0 {
                return Err(Refusal { code: RDKafkaErrorCode::UnknownGroup, text: "no answer".to_owned() });
            }
            let group = *groups;
            refused(sys::rd_kafka_ConsumerGroupDescription_error(group))?;
            let members = (0..sys::rd_kafka_ConsumerGroupDescription_member_count(group)).map(|index| {
                let member = sys::rd_kafka_ConsumerGroupDescription_member(group, index);
                let client = text(sys::rd_kafka_MemberDescription_client_id(member));
                (client, text(sys::rd_kafka_MemberDescription_host(member)))
            });
            let members = members.collect();
            let operations =
                sys::rd_kafka_ConsumerGroupDescription_authorized_operations(group, &raw mut count);
            Ok(GroupDescription {
                state: state(sys::rd_kafka_ConsumerGroupDescription_state(group)),
                strategy: text(sys::rd_kafka_ConsumerGroupDescription_partition_assignor(group)),
                members,
                allowed: allowed(operations, count),
            })
        }
    })
}

const fn state(state: GroupState) -> &'static str {
    match state {
        GroupState::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE => "preparing to rebalance",
        GroupState::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => "completing a rebalance",
        GroupState::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => "stable",
        GroupState::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => "not there",
        GroupState::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => "empty",
        _ => "unknown",
    }
}

/// The settings of a topic or a broker, by name; those that the broker keeps to itself are left out.
pub(in crate::components::kafka) fn settings<C: ClientContext>(
    client: &Client<C>,
    holder: Holder,
    name: &str,
    patience: Duration,
) -> Result<BTreeMap<String, String>, Refusal> {
    let name = no_zero(name)?;
    let kind = match holder {
        Holder::Topic => sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
        Holder::Broker => sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER,
    };
    let put = |native: Native, options: Options, queue: Queue| {
        // SAFETY: all three live, see `ask`; the resource is ours, and copied.
        unsafe {
            let mut resource = sys::rd_kafka_ConfigResource_new(kind, name.as_ptr());
            sys::rd_kafka_DescribeConfigs(native, &raw mut resource, 1, options, queue);
            sys::rd_kafka_ConfigResource_destroy(resource);
        }
    };
    ask(client, Op::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, patience, put, |event| {
        // SAFETY: as in `cluster`.
        unsafe {
            let result = sys::rd_kafka_event_DescribeConfigs_result(event);
            let mut count = 0;
            let resources = sys::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
            let mut settings = BTreeMap::new();
            if count == 0 {
                return Ok(settings);
            }
            let code = sys::rd_kafka_ConfigResource_error(*resources);
            if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                let text = text(sys::rd_kafka_ConfigResource_error_string(*resources));
                return Err(Refusal { code: code.into(), text });
            }
            let entries = sys::rd_kafka_ConfigResource_configs(*resources, &raw mut count);
            for index in 0..count {
                let entry = *entries.add(index);
                let value = sys::rd_kafka_ConfigEntry_value(entry);
                if !value.is_null() {
                    settings.insert(text(sys::rd_kafka_ConfigEntry_name(entry)), text(value));
                }
            }
            Ok(settings)
        }
    })
}

/// A spot in each of these partitions, as those see it who read what is committed.
pub(in crate::components::kafka) fn spots<C: ClientContext>(
    client: &Client<C>,
    partitions: &TopicPartitionList,
    spot: Spot,
    patience: Duration,
) -> Result<Vec<SpotFound>, Refusal> {
    let raw = match spot {
        Spot::Oldest => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST,
        Spot::Newest => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST,
        Spot::Latest => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_MAX_TIMESTAMP,
    };
    let put = |native: Native, options: Options, queue: Queue| {
        // SAFETY: all three live, see `ask`; the list has as many elements as it says, and is copied.
        unsafe {
            let list = partitions.ptr();
            for index in 0..partitions.count() {
                (*(*list).elems.add(index)).offset = raw as i64;
            }
            let refused = sys::rd_kafka_AdminOptions_set_isolation_level(
                options,
                sys::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            );
            if !refused.is_null() {
                sys::rd_kafka_error_destroy(refused);
            }
            sys::rd_kafka_ListOffsets(native, list, options, queue);
        }
    };
    ask(client, Op::RD_KAFKA_ADMIN_OP_LISTOFFSETS, patience, put, |event| {
        // SAFETY: as in `cluster`.
        unsafe {
            let result = sys::rd_kafka_event_ListOffsets_result(event);
            let mut count = 0;
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &raw mut count);
            let found = (0..count).map(|index| {
                let info = *infos.add(index);
                let place = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
                let code = (*place).err;
                let time = sys::rd_kafka_ListOffsetsResultInfo_timestamp(info);
                let is_fine = code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
                let answer = if is_fine { Ok(((*place).offset, time)) } else { Err(code.into()) };
                (text((*place).topic), (*place).partition, answer)
            });
            Ok(found.collect())
        }
    })
}
