//! Where the standbys of a task sit: on other instances than its owner, the first where `range` would put the task if the
//! owner's instance vanished, the next where it would go if that one vanished too.
//!
//! Pure, so members that read the same records come to the same places. Kafka's classic `range` and the embedded log
//! deal as is assumed here, in the order of client ids; a broker that assigns by itself (KIP-848) may put the task
//! elsewhere, where it is restored as without a standby.

/// A thread of an instance, ordered as `range` orders members.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// A member's id begins with it.
    pub(super) client_id: String,
    pub(super) instance: String,
}

/// The places of one partition's standbys; `present` in order, `count` the partitions there are.
pub(super) fn places<'p>(
    present: &'p [Place],
    owner: &str,
    (partition, count): (u32, u32),
    replicas: u32,
) -> Vec<&'p Place> {
    let mut left: Vec<&Place> = present.iter().filter(|place| place.instance != owner).collect();
    let mut chosen = Vec::new();
    for _ in 0..replicas {
        let Ok(among) = u32::try_from(left.len()) else { break };
        let Some(place) = left.get(dealt(partition, count, among) as usize).copied() else { break };
        chosen.push(place);
        left.retain(|other| other.instance != place.instance);
    }
    chosen
}

/// Whom `range` gives a partition to; `members` in order.
pub(super) fn dealt_to(partition: u32, count: u32, members: &[Place]) -> Option<&Place> {
    let among = u32::try_from(members.len()).ok()?;
    members.get(dealt(partition, count, among) as usize)
}

/// Which of `among` members `range` gives a partition to: contiguous shares, the first ones one more.
fn dealt(partition: u32, count: u32, among: u32) -> u32 {
    if among == 0 {
        return 0;
    }
    let (each, more) = (count / among, count % among);
    let by_longer = more * (each + 1);
    if partition < by_longer {
        partition / (each + 1)
    } else {
        more + (partition - by_longer) / each.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(ids: &[(&str, u32)]) -> Vec<Place> {
        let mut places: Vec<Place> = ids
            .iter()
            .map(|(instance, thread)| Place {
                client_id: format!("{thread:04}-app-{instance}-"),
                instance: (*instance).to_owned(),
            })
            .collect();
        places.sort();
        places
    }

    fn instances(present: &[Place], owner: &str, at: (u32, u32), replicas: u32) -> String {
        let chosen = places(present, owner, at, replicas);
        chosen.iter().map(|place| &*place.instance).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn range_deals_contiguous_shares() {
        for (count, among, shares) in
            [(5, 3, "00112"), (6, 3, "001122"), (2, 4, "01"), (4, 1, "0000"), (7, 2, "0000111")]
        {
            let dealt: String =
                (0..count).map(|partition| dealt(partition, count, among).to_string()).collect();
            assert_eq!(dealt, shares, "{count} partitions among {among}");
        }
    }

    #[test]
    fn a_standby_sits_where_range_would_put_the_task_without_its_owner() {
        let three = members(&[("a", 0), ("b", 0), ("c", 0)]);
        // Without a: b has 0 and 1, c has 2 and 3.
        assert_eq!(instances(&three, "a", (0, 4), 1), "b");
        assert_eq!(instances(&three, "a", (2, 4), 1), "c");
        // Without b: a has 0 and 1, c has 2 and 3.
        assert_eq!(instances(&three, "b", (1, 4), 1), "a");
        assert_eq!(instances(&three, "b", (2, 4), 2), "c a");
    }

    #[test]
    fn no_instance_has_two_copies_and_none_beside_the_owner() {
        let threads = members(&[("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0)]);
        for owner in ["a", "b", "c"] {
            for partition in 0..6 {
                let chosen = instances(&threads, owner, (partition, 6), 9);
                let mut named: Vec<&str> = chosen.split(' ').chain([owner]).collect();
                named.sort_unstable();
                assert_eq!(named, ["a", "b", "c"], "{owner}'s partition {partition}");
            }
        }
        assert_eq!(instances(&members(&[("a", 0), ("a", 1)]), "a", (0, 1), 1), "", "nobody else");
        assert_eq!(instances(&[], "a", (0, 1), 1), "");
    }
}
