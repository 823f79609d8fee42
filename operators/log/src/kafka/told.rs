//! What the common queue of a consumer says beside rebalances: errors that concern no single partition.
//!
//! Invariant: what librdkafka goes on from by itself never ends a member; and where its client has failed for good, the
//! client's own reason counts, because the error's code says only that it has.

use std::fmt::Display;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::error::LogError;

use super::triage::{code_of, is_fence, is_unknown, sort};

/// What that means for the consumer.
#[derive(Debug)]
pub(super) enum Told {
    /// librdkafka goes on by itself, and reports as an event what comes of it.
    Passes,
    /// A topic isn't there, or not yet.
    UnknownTopic,
    /// It can't go on.
    Failed(LogError),
}

/// Sorts what the common queue of a consumer says.
pub(super) fn sort_told<C: ClientContext>(
    error: &KafkaError,
    client: &Client<C>,
    doing: impl Display,
) -> Told {
    judge_told(error, || client.fatal_error(), doing)
}

/// `why` is the client's reason for having failed for good: the error says no more than that it has.
fn judge_told(
    error: &KafkaError,
    why: impl FnOnce() -> Option<(Code, String)>,
    doing: impl Display,
) -> Told {
    let code = code_of(error);
    if code.is_some_and(is_unknown) {
        return Told::UnknownTopic;
    }
    let reason = if code == Some(Code::Fatal) { why() } else { None };
    let sorted = match reason {
        Some((code, text)) => over(code, &text, doing),
        None => sort(error, doing),
    };
    match sorted {
        LogError::Retriable(_) | LogError::Abort(_) => Told::Passes,
        failed => Told::Failed(failed),
    }
}

/// Whether the client has failed for good. It says so once, but it can be asked at any time: until it is, its calls seem to
/// succeed and do nothing.
///
/// # Errors
/// It has.
pub(super) fn check<C: ClientContext>(
    client: &Client<C>,
    doing: impl Display,
) -> Result<(), LogError> {
    match client.fatal_error() {
        Some((code, text)) => Err(over(code, &text, doing)),
        None => Ok(()),
    }
}

/// Whatever the reason is: this client is no more.
fn over(code: Code, text: &str, doing: impl Display) -> LogError {
    if is_fence(code) {
        return LogError::Fenced(format!(
            "{doing}: {text} ({code:?}): another process has the same instance id; give each its own"
        ));
    }
    LogError::Fatal(format!("{doing}: {text} ({code:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: Code, why: Option<Code>) -> Told {
        let error = KafkaError::MessageConsumption(code);
        judge_told(&error, || why.map(|code| (code, "its words".to_owned())), "group g")
    }

    #[test]
    fn a_consumer_goes_on_while_librdkafka_does() {
        for code in [
            Code::AllBrokersDown,
            Code::RebalanceInProgress,
            Code::UnknownMemberId,
            Code::IllegalGeneration,
            Code::StaleMemberEpoch,
        ] {
            assert!(matches!(told(code, None), Told::Passes), "{code:?}");
        }
        for code in [Code::UnknownTopicOrPartition, Code::UnknownPartition] {
            assert!(matches!(told(code, None), Told::UnknownTopic), "{code:?}");
        }
        let refused = told(Code::GroupAuthorizationFailed, None);
        assert!(matches!(refused, Told::Failed(LogError::Fatal(_))), "{refused:?}");
    }

    #[test]
    fn a_consumer_that_failed_for_good_says_why() {
        for code in [Code::FencedInstanceId, Code::UnreleasedInstanceId] {
            let fenced = told(Code::Fatal, Some(code));
            let Told::Failed(LogError::Fenced(text)) = &fenced else { panic!("{fenced:?}") };
            assert!(text.contains("its words") && text.contains("instance id"), "{text}");
        }
        let failed = told(Code::Fatal, Some(Code::UnsupportedAssignor));
        assert!(
            matches!(&failed, Told::Failed(LogError::Fatal(text)) if text.contains("its words"))
        );
        // It passes for others: what is fatal doesn't.
        let failed = told(Code::Fatal, Some(Code::UnknownMemberId));
        assert!(matches!(&failed, Told::Failed(LogError::Fatal(_))), "{failed:?}");
    }
}
