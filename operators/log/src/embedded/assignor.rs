//! `range`, as Kafka's classic assignor: per topic, members in the order of
//! their ids get contiguous shares, the first ones one more. Topics with the
//! same partition count and the same members are so dealt alike, which is what
//! joins need.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::TopicPartition;

/// Deals partitions. `members`: id → topics; `count`: partitions of a topic.
pub(super) fn range(
    members: &BTreeMap<&str, &[Arc<str>]>,
    count: impl Fn(&str) -> u32,
) -> BTreeMap<String, Vec<TopicPartition>> {
    let mut shares: BTreeMap<String, Vec<TopicPartition>> =
        members.keys().map(|member| ((*member).to_owned(), Vec::new())).collect();
    let mut readers: BTreeMap<&Arc<str>, Vec<&str>> = BTreeMap::new();
    for (member, topics) in members {
        for topic in *topics {
            readers.entry(topic).or_default().push(member);
        }
    }
    for (topic, readers) in readers {
        let partitions = count(topic);
        let among = u32::try_from(readers.len()).unwrap_or(u32::MAX);
        let (each, more) = (partitions / among, partitions % among);
        let mut first = 0;
        for (index, member) in (0..among).zip(readers) {
            let share = each + u32::from(index < more);
            if let Some(owned) = shares.get_mut(member) {
                owned.extend(
                    (first..first + share)
                        .map(|index| TopicPartition::new(Arc::clone(topic), index)),
                );
            }
            first += share;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn deal(members: &[(&str, &[&str])], count: u32) -> BTreeMap<String, Vec<TopicPartition>> {
        let topics: Vec<(&str, Vec<Arc<str>>)> = members
            .iter()
            .map(|(member, topics)| {
                (*member, topics.iter().map(|topic| Arc::from(*topic)).collect())
            })
            .collect();
        let members = topics.iter().map(|(member, topics)| (*member, topics.as_slice())).collect();
        range(&members, |_| count)
    }

    #[test]
    fn the_first_members_get_one_more() {
        let shares = deal(&[("a", &["t"]), ("b", &["t"]), ("c", &["t"])], 5);
        let counts: Vec<_> = shares.values().map(Vec::len).collect();
        assert_eq!(counts, [2, 2, 1]);
    }

    #[test]
    fn a_topic_goes_only_to_its_readers() {
        let shares = deal(&[("a", &["t"]), ("b", &["u"])], 2);
        assert!(shares["a"].iter().all(|at| &*at.topic == "t"));
        assert_eq!(shares["b"].len(), 2);
    }

    proptest! {
        #[test]
        fn every_partition_has_one_owner_and_topics_stay_together(members in 1usize..9, count in 0u32..20) {
            let names: Vec<String> = (0..members).map(|index| format!("m{index:02}")).collect();
            let both: &[&str] = &["left", "right"];
            let members: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), both)).collect();
            let shares = deal(&members, count);
            let mut all: Vec<_> = shares.values().flatten().cloned().collect();
            all.sort();
            all.dedup();
            prop_assert_eq!(all.len() as u32, count * 2);
            for share in shares.values() {
                let of = |topic: &str| -> Vec<u32> {
                    share.iter().filter(|at| &*at.topic == topic).map(|at| at.partition).collect()
                };
                prop_assert_eq!(of("left"), of("right"));
            }
        }
    }
}
