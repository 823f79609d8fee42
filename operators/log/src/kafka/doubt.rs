//! A topic that a broker says it doesn't know.
//!
//! A broker that has just started, or hasn't heard of a topic that was just made, says so of topics that exist. librdkafka
//! believes it at once: it forgets the partitions, fails what was to go there, and tells a consumer that its topic is gone;
//! with the next answer it knows better. So nobody acts on such a word alone.
//!
//! Invariant: a topic counts as gone only when it is found to be missing [`PATIENCE`] after the first word of it.

use std::time::{Duration, Instant};

use crate::error::LogError;

use super::metadata::missing;

/// Brokers agree within seconds, also where one has just started.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one client has heard.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    since: Option<Instant>,
}

impl Doubt {
    /// Somebody says that a topic isn't there.
    pub(super) fn raise(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Once the time has come, `ask` looks for a topic that is missing. It isn't called without a doubt.
    ///
    /// # Errors
    /// [`LogError::Fatal`] that names the topic, or why nobody can be asked; a cluster that can't be reached is asked again
    /// later.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        ask: impl FnOnce() -> Result<Option<String>, LogError>,
    ) -> Result<(), LogError> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) < PATIENCE) {
            return Ok(());
        }
        match ask() {
            Ok(None) => self.since = None,
            Ok(Some(topic)) => return Err(missing(&topic)),
            Err(LogError::Retriable(reason)) => {
                tracing::debug!(reason, "whether topics are there can't be asked yet");
                self.since = Some(now);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> Result<Option<String>, LogError> {
        panic!("nobody is to be asked")
    }

    #[test]
    fn nobody_is_asked_without_a_doubt_or_too_early() {
        let (mut doubt, now) = (Doubt::default(), Instant::now());
        doubt.settle(now + PATIENCE * 2, never).unwrap();
        doubt.raise(now);
        doubt.settle(now + PATIENCE / 2, never).unwrap();
        // The same word again doesn't begin anew.
        doubt.raise(now + PATIENCE / 2);
        let gone = doubt.settle(now + PATIENCE, || Ok(Some("orders".to_owned()))).unwrap_err();
        assert!(matches!(&gone, LogError::Fatal(text) if text.contains("orders")), "{gone}");
    }

    #[test]
    fn a_topic_that_is_there_ends_the_doubt() {
        let (mut doubt, now) = (Doubt::default(), Instant::now());
        doubt.raise(now);
        doubt.settle(now + PATIENCE, || Ok(None)).unwrap();
        doubt.settle(now + PATIENCE * 3, never).unwrap();
    }

    #[test]
    fn a_cluster_that_does_not_answer_is_asked_again() {
        let (mut doubt, now) = (Doubt::default(), Instant::now());
        doubt.raise(now);
        let away = || Err(LogError::Retriable("away".to_owned()));
        doubt.settle(now + PATIENCE, away).unwrap();
        doubt.settle(now + PATIENCE, never).unwrap();
        assert!(doubt.settle(now + PATIENCE * 2, || Ok(Some("a".to_owned()))).is_err());
    }
}
