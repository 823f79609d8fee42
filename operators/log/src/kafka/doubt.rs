//! A topic, or a partition of it, that a broker says it doesn't know.
//!
//! A broker that has just started, or hasn't heard of a topic that was just made, says so of topics that exist. librdkafka
//! believes it at once: it forgets the partitions, fails what was to go there, and tells a consumer that its topic is gone;
//! with the next answer it knows better. So nobody acts on such a word alone, nor on the answer of one broker to a question
//! of ours: while brokers are restarted one after the other, each of them may give it once.
//!
//! Invariant: something counts as gone only when it was asked for again and again for [`PATIENCE`], and each answer was that
//! it is missing.

use std::time::{Duration, Instant};

use crate::error::LogError;

/// Brokers agree within seconds, also where one has just started.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long between two questions.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Of so long without a question nothing is known.
const SILENCE: Duration = Duration::from_secs(15);

/// What one client has heard.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// Since then every answer was the same.
    since: Instant,
    asked: Instant,
    /// What is missing; none before the first answer.
    told: Option<String>,
}

impl Doubt {
    /// Somebody says that a topic isn't there.
    pub(super) fn raise(&mut self, now: Instant) {
        self.open.get_or_insert(Open { since: now, asked: now, told: None });
    }

    /// When it is time, `ask` looks for what is missing and says it in words. It isn't called without a doubt.
    ///
    /// # Errors
    /// [`LogError::Fatal`] with these words, or why nobody can be asked; a cluster that can't be reached is asked again
    /// later.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        ask: impl FnOnce() -> Result<Option<String>, LogError>,
    ) -> Result<(), LogError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let pause = now.saturating_duration_since(open.asked);
        if pause < ASK_EVERY {
            return Ok(());
        }
        open.asked = now;
        match ask() {
            Ok(None) => self.open = None,
            Ok(Some(missing)) => {
                let is_other = open.told.as_ref().is_some_and(|told| *told != missing);
                if is_other || pause > SILENCE {
                    open.since = now;
                }
                if now.saturating_duration_since(open.since) >= PATIENCE {
                    return Err(LogError::Fatal(missing));
                }
                open.told = Some(missing);
            }
            Err(LogError::Retriable(reason)) => {
                tracing::debug!(reason, "whether topics are there can't be asked yet");
                open.since = now;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = Result<Option<String>, LogError>;

    fn never() -> Answer {
        panic!("nobody is to be asked")
    }

    fn missing(topic: &str) -> Answer {
        Ok(Some(format!("topic {topic} doesn't exist")))
    }

    fn away() -> Answer {
        Err(LogError::Retriable("away".to_owned()))
    }

    /// A doubt, and when it was raised; moments are seconds since then.
    struct Scene(Doubt, Instant);

    impl Scene {
        fn new() -> Self {
            let (mut doubt, now) = (Doubt::default(), Instant::now());
            doubt.raise(now);
            Self(doubt, now)
        }

        fn at(&mut self, secs: u64, answer: impl FnOnce() -> Answer) -> Result<(), LogError> {
            self.0.settle(self.1 + Duration::from_secs(secs), answer)
        }

        /// The first moment at which it is believed that what every answer calls missing from `from` on is.
        fn believed(&mut self, from: u64, answer: impl Fn() -> Answer) -> u64 {
            let is_believed = |secs: &u64| match self.at(*secs, &answer) {
                Err(error) => {
                    assert!(matches!(&error, LogError::Fatal(text) if text.contains("orders")));
                    true
                }
                Ok(()) => false,
            };
            (from..from + 300).find(is_believed).expect("it is never believed")
        }
    }

    #[test]
    fn what_every_answer_calls_missing_is() {
        assert_eq!(Scene::new().believed(0, || missing("orders")), 30);
    }

    #[test]
    fn nobody_is_asked_without_a_doubt_or_too_often() {
        let (mut doubt, now) = (Doubt::default(), Instant::now());
        doubt.settle(now + PATIENCE * 2, never).unwrap();
        let mut scene = Scene::new();
        scene.at(4, never).unwrap();
        scene.at(5, || missing("orders")).unwrap();
        // The same word again doesn't begin anew.
        scene.0.raise(scene.1 + Duration::from_secs(6));
        scene.at(9, never).unwrap();
        assert_eq!(scene.believed(10, || missing("orders")), 30);
    }

    #[test]
    fn a_topic_that_is_there_ends_the_doubt() {
        let mut scene = Scene::new();
        scene.at(5, || Ok(None)).unwrap();
        scene.at(100, never).unwrap();
    }

    #[test]
    fn one_answer_long_after_the_first_word_is_not_believed() {
        let mut scene = Scene::new();
        scene.at(3_600, || missing("orders")).unwrap();
        assert_eq!(scene.believed(3_601, || missing("orders")), 3_630);
    }

    #[test]
    fn brokers_that_start_one_after_the_other_end_nobody() {
        let mut scene = Scene::new();
        for start in (10..200).step_by(10) {
            scene.at(start, || missing("orders")).unwrap();
            scene.at(start + 5, || Ok(None)).unwrap();
            scene.0.raise(scene.1 + Duration::from_secs(start + 5));
        }
    }

    #[test]
    fn a_cluster_that_does_not_answer_is_asked_again() {
        let mut scene = Scene::new();
        scene.at(25, || missing("orders")).unwrap();
        scene.at(30, away).unwrap();
        scene.at(34, never).unwrap();
        assert_eq!(scene.believed(35, || missing("orders")), 60);
    }

    #[test]
    fn two_topics_are_two_doubts() {
        let mut scene = Scene::new();
        for secs in (5..30).step_by(5) {
            scene.at(secs, || missing("bills")).unwrap();
        }
        assert_eq!(scene.believed(30, || missing("orders")), 60);
    }
}
