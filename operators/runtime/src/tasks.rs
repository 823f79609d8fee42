//! Tasks by name, for the log.

use std::fmt;

use operators::TaskId;

/// Told one after the other.
pub(crate) fn names(tasks: impl Iterator<Item = TaskId> + Clone) -> impl fmt::Display {
    struct Names<I>(I);
    impl<I: Iterator<Item = TaskId> + Clone> fmt::Display for Names<I> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for (number, task) in self.0.clone().enumerate() {
                write!(f, "{}{task}", if number > 0 { " " } else { "" })?;
            }
            Ok(())
        }
    }
    Names(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_stand_in_one_line() {
        let task = |partition| TaskId { subtopology: 1, partition };
        assert_eq!(names([0, 12].map(task).into_iter()).to_string(), "1_0 1_12");
    }
}
