//! Two bytes that stand for a topic in rows that tell where they were read.
//!
//! Invariant: a topic's mark follows from its name, not from its place among the sources, which changes with the flow:
//! else a record of one topic could replace the row of another.

use std::sync::Arc;

use state_stores::partition::murmur2;

/// Reserved for rows that were read nowhere.
const NOWHERE: u16 = u16::MAX;

/// The marks of a task's topics. Two with one hash (1 in 65,536) take marks in the order of their names.
pub(super) fn of(topics: &[Arc<str>]) -> Vec<u16> {
    let mut marks = vec![NOWHERE; topics.len()];
    let mut by_name: Vec<usize> = (0..topics.len()).collect();
    by_name.sort_by_key(|place| &topics[*place]);
    for place in by_name {
        let hash = murmur2(topics[place].as_bytes()).cast_unsigned();
        let mut mark = (hash ^ (hash >> 16)) as u16;
        while mark == NOWHERE || marks.contains(&mark) {
            mark = mark.wrapping_add(1);
        }
        marks[place] = mark;
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(topics: &[&str]) -> Vec<u16> {
        of(&topics.iter().map(|topic| Arc::from(*topic)).collect::<Vec<_>>())
    }

    #[test]
    fn a_topic_keeps_its_mark_wherever_it_stands() {
        let [orders, names] = marks(&["orders", "names"])[..] else { panic!("two topics") };
        assert_ne!(orders, names);
        assert_eq!(marks(&["names", "added", "orders"])[2], orders);
        assert_eq!(marks(&["names"]), [names]);
    }

    #[test]
    fn no_two_topics_have_one_mark() {
        let names: Vec<Arc<str>> = (0..2_000).map(|n| Arc::from(format!("topic-{n}"))).collect();
        let mut marks = of(&names);
        marks.sort_unstable();
        marks.dedup();
        assert_eq!(marks.len(), names.len());
        assert!(!marks.contains(&NOWHERE));
    }
}
