//! librdkafka's errors in our own words.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::options;
use crate::error::{Error, ErrorCode, Retry};

/// Whether a topic or partition does not exist.
pub(super) fn is_unknown(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Kafka;
    matches!(
        code,
        Kafka::UnknownTopicOrPartition
            | Kafka::UnknownTopic
            | Kafka::UnknownPartition
            | Kafka::UnknownTopicId
    )
}

/// Whether a code tells that one broker cannot be connected to: others may do.
pub(super) fn is_of_one_broker(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Kafka;
    matches!(
        code,
        Kafka::Authentication
            | Kafka::SaslAuthenticationFailed
            | Kafka::SSL
            | Kafka::BrokerTransportFailure
            | Kafka::Resolve
    )
}

/// The error of a code, with the client's own text beside it.
pub(super) fn from_code(code: RDKafkaErrorCode, what: &str) -> Error {
    use RDKafkaErrorCode as Kafka;
    let (ours, retry) = match code {
        Kafka::UnknownTopicOrPartition | Kafka::UnknownTopic | Kafka::UnknownPartition => {
            (ErrorCode::TargetNotFound, None)
        }
        Kafka::InvalidTopic => (ErrorCode::InvalidSettings, None),
        Kafka::MessageSizeTooLarge | Kafka::MessageBatchTooLarge => (ErrorCode::PayloadTooLarge, None),
        Kafka::TopicAuthorizationFailed
        | Kafka::GroupAuthorizationFailed
        | Kafka::ClusterAuthorizationFailed => (ErrorCode::PermissionDenied, None),
        Kafka::Authentication | Kafka::SaslAuthenticationFailed | Kafka::UnsupportedSASLMechanism => {
            (ErrorCode::Unauthenticated, None)
        }
        Kafka::SSL => (ErrorCode::TlsFailed, None),
        Kafka::BrokerTransportFailure
        | Kafka::AllBrokersDown
        | Kafka::Resolve
        | Kafka::BrokerNotAvailable
        | Kafka::LeaderNotAvailable
        | Kafka::OperationTimedOut => (ErrorCode::Unavailable, None),
        // The broker said no before it wrote anything; asking again later is right and harmless.
        Kafka::NotEnoughReplicas | Kafka::ThrottlingQuotaExceeded | Kafka::PolicyViolation => {
            (ErrorCode::Backend, Some(Retry::Yes))
        }
        // Handed over and not confirmed in time, or written by too few replicas: it may be there.
        Kafka::MessageTimedOut
        | Kafka::RequestTimedOut
        | Kafka::NotEnoughReplicasAfterAppend
        | Kafka::PurgeInflight
        | Kafka::PurgeQueue => (ErrorCode::OutcomeUnknown, None),
        _ => (ErrorCode::Backend, None),
    };
    let error = Error::new(ours, what.to_owned()).backend(code.to_string());
    match retry {
        Some(retry) => error.retry(retry),
        None => error,
    }
}

/// The broker knows the user, who may not write to the topic.
pub(super) fn denied_to_write(topic: &str, code: RDKafkaErrorCode) -> Error {
    from_code(code, &format!("the user may not write to topic {topic:?}"))
        .advice(format!("Give the user the operations Describe and Write on topic {topic:?}."))
}

/// The broker knows the user, who may not read the topics.
pub(super) fn denied_to_read(topics: &str, code: RDKafkaErrorCode) -> Error {
    from_code(code, &format!("the user may not read topic {topics:?}"))
        .advice(format!("Give the user the operations Describe and Read on topic {topics:?}."))
}

/// The broker knows the user, who may not be in the group.
pub(super) fn denied_to_join(group: &str, code: RDKafkaErrorCode) -> Error {
    from_code(code, &format!("the user may not read as group {group:?}"))
        .advice(format!("Give the user the operation Read on group {group:?}."))
}

/// The error of a client library's call.
pub(super) fn from_kafka(error: &KafkaError, what: &str) -> Error {
    match (error.rdkafka_error_code(), error) {
        // The reason can repeat the value.
        (_, KafkaError::ClientConfig(_, _, option, _)) if options::is_secret(option) => {
            Error::new(ErrorCode::InvalidSettings, format!("the client library refuses {option} = ***"))
        }
        (_, KafkaError::ClientConfig(_, reason, option, value)) => Error::new(
            ErrorCode::InvalidSettings,
            format!("the client library refuses {option} = {value:?}: {reason}"),
        ),
        (Some(code), _) => from_code(code, what),
        (None, error) => Error::new(ErrorCode::Backend, what.to_owned()).backend(error.to_string()),
    }
}
