//! What a failure of the broker or of librdkafka means for the job: the one place that decides it.
//!
//! Messages name topics and settings, never keys or values of messages, and never the value of a
//! client setting, which can be a password.

use culvert_api::{Error, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error as ThisError;

/// What went wrong, in the words that may be shown.
#[derive(Debug, ThisError)]
enum Cause {
    /// An error of the protocol or of librdkafka.
    #[error("{0}")]
    Code(RDKafkaErrorCode),
    /// What librdkafka says about the way there.
    #[error("{0}")]
    Told(String),
}

/// Turns an error of the client into ours. `doing` completes "could not …".
pub fn convert(error: &KafkaError, doing: &str) -> Error {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => config(name),
        KafkaError::ClientCreation(told) => Error::new(ErrorKind::Config, format!("could not {doing}"))
            .caused_by(Cause::Told(told.clone()))
            .hint("check `kafka.config`"),
        KafkaError::AdminOp(code) => of_code(*code, doing),
        other => match other.rdkafka_error_code() {
            Some(code) => of_code(code, doing),
            None => {
                Error::new(ErrorKind::Internal, format!("could not {doing}: the client was used wrongly"))
            }
        },
    }
}

/// A setting that librdkafka does not take.
pub fn config(name: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!("option 'kafka.config' has no setting '{name}', or not with this value"),
    )
    .hint("the settings are librdkafka's; docs/kafka.md says what stands for those of the Java client")
}

/// An error about an option of ours.
pub fn option(option: &str, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("option '{option}' {what}"))
}

/// Turns a code into our error.
pub fn of_code(code: RDKafkaErrorCode, doing: &str) -> Error {
    let error = Error::new(kind(code), format!("could not {doing}")).caused_by(Cause::Code(code));
    match hint(code) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Adds what librdkafka told about the connection.
pub fn told(error: Error, reason: Option<String>) -> Error {
    match reason {
        Some(reason) => error.context("client", reason),
        None => error,
    }
}

/// Whether another producer of our transactional id has taken over, or the broker has given the
/// transaction up.
pub fn is_fenced(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(|code| kind(code) == ErrorKind::Fenced)
}

/// Whether the account or its password is wrong.
pub fn is_refused_login(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{Authentication, SaslAuthenticationFailed, UnsupportedSASLMechanism};
    matches!(code, Authentication | SaslAuthenticationFailed | UnsupportedSASLMechanism)
}

/// Whether it says why a broker cannot be reached.
pub fn is_about_connecting(code: RDKafkaErrorCode) -> bool {
    is_refused_login(code) || code == RDKafkaErrorCode::SSL || kind(code) == ErrorKind::Connection
}

/// Whether there is no such topic or partition.
pub fn is_missing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    matches!(code, UnknownPartition | UnknownTopic | UnknownTopicOrPartition)
}

/// What broke.
fn kind(code: RDKafkaErrorCode) -> ErrorKind {
    use RDKafkaErrorCode as C;
    match code {
        C::BrokerTransportFailure
        | C::Resolve
        | C::AllBrokersDown
        | C::BrokerDestroy
        | C::NetworkException => ErrorKind::Connection,
        C::Fenced | C::ProducerFenced | C::InvalidProducerEpoch => ErrorKind::Fenced,
        C::Authentication
        | C::SaslAuthenticationFailed
        | C::TopicAuthorizationFailed
        | C::GroupAuthorizationFailed
        | C::ClusterAuthorizationFailed
        | C::TransactionalIdAuthorizationFailed
        | C::DelegationTokenAuthorizationFailed
        | C::DelegationTokenExpired => ErrorKind::Permission,
        C::UnknownTopic
        | C::UnknownPartition
        | C::UnknownTopicOrPartition
        | C::InvalidTopic
        | C::InvalidPartitions
        | C::InvalidReplicationFactor
        | C::InvalidRecord
        | C::PolicyViolation => ErrorKind::Schema,
        C::InvalidConfig
        | C::InvalidArgument
        | C::InvalidTransactionTimeout
        | C::InvalidRequiredAcks
        | C::UnsupportedSASLMechanism
        | C::IllegalSASLState
        | C::SSL
        | C::NotConfigured
        | C::UnsupportedCompressionType => ErrorKind::Config,
        C::UnsupportedVersion
        | C::UnsupportedFeature
        | C::UnsupportedForMessageFormat
        | C::NotImplemented => ErrorKind::Unsupported,
        C::MessageSizeTooLarge | C::MessageBatchTooLarge | C::InvalidMessageSize => ErrorKind::Value,
        C::BadMessage | C::BadCompression | C::InvalidMessage => ErrorKind::Corrupt,
        C::State | C::Conflict | C::PreviousInProgress => ErrorKind::Internal,
        // The protocol grows, and most of what it says passes: a leader moves, a coordinator loads,
        // replicas are missing. The budget of attempts bounds what does not.
        _ => ErrorKind::Unavailable,
    }
}

fn hint(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode as C;
    Some(match code {
        C::MessageSizeTooLarge | C::MessageBatchTooLarge | C::InvalidMessageSize => {
            "raise max.message.bytes of the topic, and message.max.bytes in `kafka.config` to the same"
        }
        C::InvalidTransactionTimeout => {
            "lower transaction.timeout.ms in `kafka.config` to the broker's transaction.max.timeout.ms, or raise that"
        }
        C::TopicAuthorizationFailed => {
            "a sink's account needs Write and Describe on the topic, Read as well on the progress topic, and Create \
             where topics are to be created; a source's account needs Read and Describe"
        }
        C::GroupAuthorizationFailed => "give the account Read on the consumer group",
        C::TransactionalIdAuthorizationFailed => {
            "give the account Write and Describe on the transactional ids that begin with `transaction_prefix`"
        }
        C::ClusterAuthorizationFailed => {
            "give the account IdempotentWrite on the cluster, or Create for topics"
        }
        C::InvalidRecord => "a compacted topic takes messages with a key only: see partition_key_fields",
        C::UnknownTopic | C::UnknownPartition | C::UnknownTopicOrPartition => {
            "create the topic, or set create_topics = true; compare `partition` with its partitions"
        }
        C::Authentication | C::SaslAuthenticationFailed => {
            "check sasl.mechanism, sasl.username and sasl.password in `kafka.config`"
        }
        C::SSL => "check the ssl.* settings in `kafka.config` and the broker's certificate",
        C::MessageTimedOut => {
            "the broker did not take messages for message.timeout.ms; the job goes on when it does"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use culvert_api::ErrorClass;
    use rdkafka::types::RDKafkaConfRes;

    use super::*;

    #[test]
    fn the_class_decides_what_follows() {
        use RDKafkaErrorCode as C;
        let class = |code| of_code(code, "send messages").class();
        for code in [
            C::AllBrokersDown,
            C::MessageTimedOut,
            C::NotEnoughReplicas,
            C::NotLeaderForPartition,
            C::PurgeQueue,
        ] {
            assert_eq!(class(code), ErrorClass::Transient, "{code}");
        }
        for code in
            [C::Fenced, C::TopicAuthorizationFailed, C::UnknownTopicOrPartition, C::InvalidTransactionTimeout]
        {
            assert_eq!(class(code), ErrorClass::Operator, "{code}");
        }
        assert_eq!(class(C::MessageSizeTooLarge), ErrorClass::Data);
        assert_eq!(class(C::State), ErrorClass::Fatal);
    }

    #[test]
    fn a_setting_is_named_without_its_value() {
        let refused = KafkaError::ClientConfig(
            RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "invalid value \"hunter2\"".into(),
            "sasl.mechanism".into(),
            "hunter2".into(),
        );
        let text = convert(&refused, "connect").to_string();
        assert!(text.contains("sasl.mechanism") && !text.contains("hunter2"), "{text}");
    }
}
