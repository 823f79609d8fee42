//! The one place that sorts librdkafka's errors into [`LogError`]s.
//!
//! Invariant: the client's own verdict (fatal, must abort, retriable), where it
//! gives one, wins over the error code, but for one thing: what is fatal for a client needn't be for the worker, who can
//! make another. An unknown code is fatal, never silently retried.

use std::fmt::Display;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::error::LogError;

/// Sorts what went wrong while `doing` something.
pub(super) fn sort(error: &KafkaError, doing: impl Display) -> LogError {
    let text = || format!("{doing}: {error}");
    if let KafkaError::Transaction(verdict) = error {
        let code = verdict.code();
        let text = format!("{doing}: {} ({})", verdict.string(), verdict.name());
        return if is_fence(code) {
            LogError::Fenced(text)
        } else if verdict.txn_requires_abort() {
            LogError::Abort(text)
        } else if verdict.is_fatal() {
            broken(by_code(code, text))
        } else if verdict.is_retriable() {
            LogError::Retriable(text)
        } else {
            by_code(code, text)
        };
    }
    match error {
        KafkaError::MessageConsumptionFatal(code) if !is_fence(*code) => LogError::Fatal(text()),
        KafkaError::Seek(reason) if reason == "_TIMED_OUT" => LogError::Retriable(text()),
        _ => match code_of(error) {
            Some(code) => by_code(code, text()),
            None => LogError::Fatal(text()),
        },
    }
}

/// Sorts what went wrong while asking for offsets of partitions that the caller knows to exist: where the client says
/// there is none, the broker it asked hasn't heard of a new topic yet.
pub(super) fn sort_question(error: &KafkaError, doing: impl Display) -> LogError {
    match code_of(error) {
        Some(code) if is_unknown(code) => LogError::Retriable(format!("{doing}: {error}")),
        _ => sort(error, doing),
    }
}

/// The client can't be used any more. Where the reason passes or concerned one transaction (its state or its producer's id
/// is lost, an answer came too late), another client goes on from what the log holds.
fn broken(reason: LogError) -> LogError {
    match reason {
        LogError::Retriable(text) | LogError::Abort(text) => LogError::Unknown(text),
        reason => reason,
    }
}

/// A fence within a transaction of this age. The coordinator ends by itself what is open for longer than `timeout`, and
/// fences its producer: that is no sign of another process with the same transactional id.
pub(super) fn judge_fence(error: LogError, age: Duration, timeout: Duration) -> LogError {
    match error {
        LogError::Fenced(text) if age >= timeout => {
            let ms = age.as_millis();
            LogError::Unknown(format!(
                "{text}: the transaction was open for {ms} ms and has timed out"
            ))
        }
        error => error,
    }
}

/// The code inside an error. `KafkaError::rdkafka_error_code` leaves out those of
/// administrative calls.
pub(super) fn code_of(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        KafkaError::Transaction(verdict) => Some(verdict.code()),
        _ => error.rdkafka_error_code(),
    }
}

/// Sorts a bare code.
pub(super) fn by_code(code: Code, text: String) -> LogError {
    match code {
        code if is_fence(code) => LogError::Fenced(text),
        code if is_transient(code) => LogError::Retriable(text),
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidRecord
        | Code::InvalidTimestamp => LogError::Refused(text),
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::RebalanceInProgress
        | Code::StaleMemberEpoch
        | Code::FencedMemberEpoch
        | Code::AssignmentLost
        | Code::InvalidDifferentRecord
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
        | Code::InvalidProducerIdMapping
        | Code::InvalidTransactionalState
        | Code::Inconsistent
        | Code::GaplessGuarantee => LogError::Abort(text),
        _ => LogError::Fatal(text),
    }
}

/// Somebody else took the transactional id or the member's place.
pub(super) fn is_fence(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::FencedInstanceId
            | Code::UnreleasedInstanceId
    )
}

/// The broker, or librdkafka after it, doesn't know the topic or the partition.
pub(super) fn is_unknown(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopic
            | Code::UnknownPartition
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
    )
}

/// Goes away by itself: brokers moving, starting or out of reach.
pub(super) fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::NetworkException
            | Code::QueueFull
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::Retry
            | Code::Outdated
            | Code::BrokerDestroy
            | Code::DestroyBroker
            | Code::UnknownBroker
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NotController
            | Code::ConcurrentTransactions
            | Code::UnstableOffsetCommit
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::KafkaStorageError
            | Code::ThrottlingQuotaExceeded
            | Code::RebootstrapRequired
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: Code) -> LogError {
        sort(&KafkaError::MessageProduction(code), "sending to orders[1]")
    }

    #[test]
    fn every_class_has_its_codes() {
        assert!(matches!(class(Code::ProducerFenced), LogError::Fenced(_)));
        assert!(matches!(class(Code::NotLeaderForPartition), LogError::Retriable(_)));
        // A broker's disk is full; a broker is slow because of a quota.
        assert!(matches!(class(Code::KafkaStorageError), LogError::Retriable(_)));
        assert!(matches!(class(Code::ThrottlingQuotaExceeded), LogError::Retriable(_)));
        assert!(matches!(class(Code::IllegalGeneration), LogError::Abort(_)));
        assert!(matches!(class(Code::MessageSizeTooLarge), LogError::Refused(_)));
        assert!(matches!(class(Code::TopicAuthorizationFailed), LogError::Fatal(_)));
    }

    #[test]
    fn the_text_says_what_was_being_done() {
        assert!(class(Code::QueueFull).to_string().contains("sending to orders[1]"));
    }

    #[test]
    fn a_client_that_is_broken_is_replaced_unless_a_person_must_act() {
        for code in [
            Code::InvalidTransactionalState,
            Code::InvalidProducerIdMapping,
            Code::MessageTimedOut,
            Code::Inconsistent,
        ] {
            let sorted = broken(by_code(code, "commit".to_owned()));
            assert!(matches!(sorted, LogError::Unknown(_)), "{code:?}: {sorted}");
        }
        let sorted = broken(by_code(Code::TransactionalIdAuthorizationFailed, "commit".to_owned()));
        assert!(matches!(sorted, LogError::Fatal(_)), "{sorted}");
    }

    #[test]
    fn who_is_fenced_after_the_time_out_has_no_rival() {
        let judged = |age| {
            let (age, timeout) = (Duration::from_secs(age), Duration::from_secs(10));
            judge_fence(class(Code::InvalidProducerEpoch), age, timeout)
        };
        assert!(matches!(judged(9), LogError::Fenced(_)));
        assert!(matches!(judged(10), LogError::Unknown(_)));
    }

    #[test]
    fn a_partition_that_a_broker_does_not_know_yet_is_asked_for_again() {
        for code in [Code::UnknownPartition, Code::UnknownTopic, Code::UnknownTopicOrPartition] {
            let error = KafkaError::MetadataFetch(code);
            assert!(matches!(sort_question(&error, "offsets"), LogError::Retriable(_)));
            assert!(matches!(sort(&error, "reading"), LogError::Fatal(_)));
        }
    }

    #[test]
    fn administrative_codes_are_sorted_too() {
        let error = KafkaError::AdminOp(Code::RequestTimedOut);
        assert!(matches!(sort(&error, "creating"), LogError::Retriable(_)));
    }
}
