//! What becomes of old records, in Kafka's words: the settings a topic is made with, and what is wrong with those of one
//! that exists.
//!
//! Invariant: what a topic is made with is never found wrong, whatever the broker's defaults are.

use std::fmt;
use std::time::Duration;

use crate::topic::Cleanup;

use super::settings::MAX_BATCH_BYTES;

/// How long a deleted key's tombstone can be read, at least.
const TOMBSTONES: Duration = Duration::from_secs(24 * 60 * 60);

/// Compaction and purging leave the segment being written alone, so segments are small.
const SEGMENT_BYTES: usize = 50 * 1024 * 1024;

/// How long a segment of few keys is written before it is compacted.
const OFTEN: Duration = Duration::from_secs(10 * 60);

const POLICY: &str = "cleanup.policy";
const RETENTION: &str = "retention.ms";
const BYTES: &str = "retention.bytes";
const TOMBSTONE_RETENTION: &str = "delete.retention.ms";

const UNLIMITED: i64 = -1;

/// Who says how long a topic keeps its records.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    /// People.
    Operator,
    /// The application: it keeps its state there, or what it hasn't read yet.
    Application {
        /// State so old can still be told of every deletion.
        tombstones: Duration,
    },
}

/// One setting of a topic that loses something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    setting: &'static str,
    found: String,
    wanted: String,
    loss: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setting, found, wanted, loss } = self;
        write!(f, "{setting}={found}, not {wanted}: {loss}")
    }
}

/// Kafka's settings for what happens to old records.
pub(super) fn settings_of(cleanup: &Cleanup, owner: Owner) -> Vec<(&'static str, String)> {
    let mut settings = vec![("max.message.bytes", MAX_BATCH_BYTES.to_string())];
    let policy = policy_of(cleanup);
    settings.push((POLICY, policy.to_owned()));
    let mut is_small = cleanup.is_compacted();
    if policy.contains("delete") {
        settings.push((RETENTION, least_retention(cleanup).to_string()));
        // A broker's default limit of bytes would count here, too.
        if matches!(owner, Owner::Application { .. }) {
            settings.push((BYTES, UNLIMITED.to_string()));
            is_small |= *cleanup == Cleanup::Keep;
        }
    }
    if cleanup.is_compacted() {
        let tombstones = match owner {
            Owner::Operator => TOMBSTONES,
            Owner::Application { tombstones } => tombstones.max(TOMBSTONES),
        };
        settings.push((TOMBSTONE_RETENTION, millis(tombstones).to_string()));
    }
    if is_small {
        settings.push(("segment.bytes", SEGMENT_BYTES.to_string()));
    }
    if *cleanup == Cleanup::CompactOften {
        settings.push(("segment.ms", millis(OFTEN).to_string()));
    }
    settings
}

/// What a topic with these settings would lose of what it is for. A setting that isn't told isn't judged.
pub(super) fn faults<'a>(
    wanted: &Cleanup,
    owner: Owner,
    found: impl Fn(&str) -> Option<&'a str>,
) -> Vec<Fault> {
    let Some(policy) = found(POLICY) else { return Vec::new() };
    let mut faults = Vec::new();
    let wrong_policy = |loss| Fault {
        setting: POLICY,
        found: policy.to_owned(),
        wanted: policy_of(wanted).to_owned(),
        loss,
    };
    let mut mended = policy;
    match (has(policy, "compact"), wanted.is_compacted()) {
        (false, true) => faults.push(wrong_policy("its retention would delete state")),
        (true, false) => faults.push(wrong_policy("compaction would delete events")),
        _ => {}
    }
    if !faults.is_empty() {
        mended = policy_of(wanted);
    }
    let Owner::Application { tombstones } = owner else { return faults };
    if has(mended, "delete") {
        let limits = limits(wanted, &found);
        // Without `delete` there is no retention to set right.
        if !limits.is_empty() && !has(policy_of(wanted), "delete") {
            faults.push(wrong_policy("its retention would delete state"));
        } else {
            faults.extend(limits);
        }
    }
    let least = millis(tombstones);
    if wanted.is_compacted()
        && let Some(kept) = number(&found, TOMBSTONE_RETENTION)
        && kept < least
    {
        let loss = "rows that were deleted could come back with older state";
        faults.push(too_short(TOMBSTONE_RETENTION, kept, least, loss));
    }
    faults
}

/// The command that sets right what is wrong with a topic.
pub(super) fn remedy(topic: &str, faults: &[Fault]) -> String {
    let changes: Vec<String> = faults
        .iter()
        .map(|Fault { setting, wanted, .. }| {
            // The value of a list goes in brackets.
            if *setting == POLICY {
                format!("{setting}=[{wanted}]")
            } else {
                format!("{setting}={wanted}")
            }
        })
        .collect();
    format!(
        "kafka-configs --alter --entity-type topics --entity-name {topic} --add-config '{}'",
        changes.join(",")
    )
}

/// Records that would go too early by age or size.
fn limits<'a>(wanted: &Cleanup, found: &impl Fn(&str) -> Option<&'a str>) -> Vec<Fault> {
    let loss = match wanted {
        Cleanup::Keep => "records could be deleted before they are read",
        _ => "state could be deleted that is still needed",
    };
    let least = least_retention(wanted);
    let age = number(found, RETENTION)
        .filter(|kept| *kept >= 0 && (least == UNLIMITED || *kept < least))
        .map(|kept| too_short(RETENTION, kept, least, loss));
    let size = number(found, BYTES)
        .filter(|kept| *kept >= 0)
        .map(|kept| too_short(BYTES, kept, UNLIMITED, loss));
    age.into_iter().chain(size).collect()
}

fn too_short(setting: &'static str, found: i64, wanted: i64, loss: &'static str) -> Fault {
    Fault { setting, found: found.to_string(), wanted: wanted.to_string(), loss }
}

fn number<'a>(found: &impl Fn(&str) -> Option<&'a str>, setting: &str) -> Option<i64> {
    found(setting)?.trim().parse().ok()
}

fn has(policy: &str, what: &str) -> bool {
    policy.split(',').any(|part| part.trim() == what)
}

/// By age, in milliseconds.
fn least_retention(cleanup: &Cleanup) -> i64 {
    match cleanup {
        Cleanup::Delete(time) | Cleanup::CompactDelete(time) => millis(*time),
        Cleanup::Keep | Cleanup::Compact | Cleanup::CompactOften => UNLIMITED,
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn policy_of(cleanup: &Cleanup) -> &'static str {
    match cleanup {
        Cleanup::Delete(_) | Cleanup::Keep => "delete",
        Cleanup::Compact | Cleanup::CompactOften => "compact",
        Cleanup::CompactDelete(_) => "compact,delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const OURS: Owner = Owner::Application { tombstones: DAY };

    fn all() -> [Cleanup; 5] {
        let (delete, both) = (Cleanup::Delete(DAY), Cleanup::CompactDelete(DAY));
        [delete, Cleanup::Keep, Cleanup::Compact, Cleanup::CompactOften, both]
    }

    fn value(cleanup: &Cleanup, owner: Owner, name: &str) -> Option<String> {
        let settings = settings_of(cleanup, owner);
        settings.into_iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// What is found wrong with `cleanup.policy`, `retention.ms`, `retention.bytes` and `delete.retention.ms`.
    fn wrong(wanted: &Cleanup, owner: Owner, found: [&str; 4]) -> Vec<String> {
        let names = [POLICY, RETENTION, BYTES, TOMBSTONE_RETENTION];
        let get = |name: &str| Some(found[names.iter().position(|found| *found == name)?]);
        faults(wanted, owner, get)
            .into_iter()
            .map(|Fault { setting, wanted, .. }| format!("{setting}={wanted}"))
            .collect()
    }

    #[test]
    fn cleanup_becomes_topic_settings() {
        let value = |cleanup: &Cleanup, name: &str| value(cleanup, Owner::Operator, name);
        let week = Duration::from_secs(7 * 86400);
        assert_eq!(value(&Cleanup::Delete(week), "retention.ms").as_deref(), Some("604800000"));
        assert_eq!(value(&Cleanup::Delete(week), "retention.bytes"), None);
        assert_eq!(value(&Cleanup::Keep, "retention.ms").as_deref(), Some("-1"));
        assert_eq!(value(&Cleanup::Keep, "segment.bytes"), None);
        assert_eq!(value(&Cleanup::Compact, "retention.ms"), None);
        assert_eq!(value(&Cleanup::Compact, "cleanup.policy").as_deref(), Some("compact"));
        assert_eq!(value(&Cleanup::Compact, "segment.bytes").as_deref(), Some("52428800"));
        assert_eq!(value(&Cleanup::Compact, "segment.ms"), None);
        assert_eq!(value(&Cleanup::CompactOften, "segment.ms").as_deref(), Some("600000"));
        assert_eq!(value(&Cleanup::CompactOften, "cleanup.policy").as_deref(), Some("compact"));
        let both = Cleanup::CompactDelete(week);
        assert_eq!(value(&both, "cleanup.policy").as_deref(), Some("compact,delete"));
        assert_eq!(value(&both, "delete.retention.ms").as_deref(), Some("86400000"));
    }

    #[test]
    fn an_internal_topic_is_made_so_that_a_brokers_defaults_delete_nothing() {
        assert_eq!(value(&Cleanup::Keep, OURS, "retention.bytes").as_deref(), Some("-1"));
        assert_eq!(value(&Cleanup::Keep, OURS, "segment.bytes").as_deref(), Some("52428800"));
        let long = Owner::Application { tombstones: 3 * DAY };
        let short = Owner::Application { tombstones: DAY / 24 };
        for (owner, ms) in [(long, "259200000"), (short, "86400000")] {
            assert_eq!(value(&Cleanup::Compact, owner, TOMBSTONE_RETENTION).as_deref(), Some(ms));
        }
        let hostile = [(RETENTION, "1000"), (BYTES, "1000"), (TOMBSTONE_RETENTION, "1000")];
        for (cleanup, owner) in all().iter().flat_map(|it| [(it, OURS), (it, long), (it, short)]) {
            let made = settings_of(cleanup, owner);
            let get = |name: &str| {
                let set = made.iter().find(|(found, _)| *found == name);
                set.map(|(_, value)| value.as_str())
                    .or_else(|| hostile.iter().find(|(found, _)| *found == name).map(|it| it.1))
            };
            assert_eq!(faults(cleanup, owner, get), [], "{cleanup:?}");
        }
    }

    #[test]
    fn what_earlier_builds_and_kafkas_defaults_made_passes_where_it_is_safe() {
        let earlier = |cleanup: &Cleanup, name: &str| match name {
            // Since then.
            BYTES => None,
            _ => value(cleanup, Owner::Operator, name),
        };
        let default = |name: &str| match name {
            RETENTION => Some("604800000".to_owned()),
            BYTES => Some("-1".to_owned()),
            TOMBSTONE_RETENTION => Some("86400000".to_owned()),
            _ => None,
        };
        for cleanup in all() {
            let found = [POLICY, RETENTION, BYTES, TOMBSTONE_RETENTION]
                .map(|name| earlier(&cleanup, name).or_else(|| default(name)).unwrap());
            let found = found.each_ref().map(String::as_str);
            assert_eq!(wrong(&cleanup, OURS, found), [""; 0], "{cleanup:?}");
        }
    }

    #[test]
    fn of_a_users_topic_only_a_policy_that_loses_something_is_wrong() {
        for (wanted, policy, fits) in [
            (Cleanup::Compact, "compact", true),
            (Cleanup::Compact, "delete,compact", true),
            (Cleanup::Compact, "delete", false),
            (Cleanup::CompactDelete(DAY), "compact", true),
            (Cleanup::CompactDelete(DAY), "delete", false),
            (Cleanup::Keep, "delete", true),
            (Cleanup::Delete(DAY), "delete", true),
            (Cleanup::Delete(DAY), "compact", false),
            (Cleanup::Keep, "compact,delete", false),
        ] {
            let found = wrong(&wanted, Owner::Operator, [policy, "1000", "1000", "1000"]);
            assert_eq!(found.is_empty(), fits, "{wanted:?} on {policy}: {found:?}");
        }
    }

    #[test]
    fn an_internal_topic_that_can_lose_something_is_wrong() {
        let (keep, state, often) = (Cleanup::Keep, Cleanup::Compact, Cleanup::CompactOften);
        let (windows, rows) = (Cleanup::CompactDelete(DAY), Cleanup::Delete(DAY));
        let (all_day, less) = ("86400000", "86399999");
        let cases: [(&Cleanup, [&str; 4], &[&str]); 19] = [
            (&keep, ["delete", "-1", "-1", "0"], &[]),
            (&keep, ["delete", "604800000", "-1", "0"], &["retention.ms=-1"]),
            (&keep, ["delete", "-1", "1000", "0"], &["retention.bytes=-1"]),
            (&keep, ["", "1000", "1000", "0"], &[]),
            (&keep, ["compact", "1000", "-1", "0"], &["cleanup.policy=delete", "retention.ms=-1"]),
            (&state, ["compact", "1000", "1000", all_day], &[]),
            (&state, ["compact,delete", "604800000", "-1", all_day], &["cleanup.policy=compact"]),
            (&state, ["delete, compact", "-1", "1000", all_day], &["cleanup.policy=compact"]),
            (&state, ["compact,delete", "-1", "-1", all_day], &[]),
            (&state, ["delete", "-1", "-1", all_day], &["cleanup.policy=compact"]),
            (&state, ["compact", "-1", "-1", less], &["delete.retention.ms=86400000"]),
            (&often, ["compact,delete", "1000", "-1", all_day], &["cleanup.policy=compact"]),
            (&windows, ["compact,delete", all_day, "-1", all_day], &[]),
            (&windows, ["compact,delete", "-1", "-1", all_day], &[]),
            (&windows, ["compact", "1000", "1000", all_day], &[]),
            (
                &windows,
                ["compact,delete", less, "7", less],
                &["retention.ms=86400000", "retention.bytes=-1", "delete.retention.ms=86400000"],
            ),
            (&windows, ["delete", all_day, "-1", all_day], &["cleanup.policy=compact,delete"]),
            (&rows, ["delete", all_day, "-1", "0"], &[]),
            (&rows, ["delete", less, "-1", "0"], &["retention.ms=86400000"]),
        ];
        for (wanted, found, faults) in cases {
            assert_eq!(wrong(wanted, OURS, found), faults, "{wanted:?} with {found:?}");
        }
    }

    #[test]
    fn the_remedy_is_a_command() {
        let found = |name: &str| match name {
            POLICY => Some("delete"),
            RETENTION => Some("1000"),
            _ => None,
        };
        let faults = faults(&Cleanup::CompactDelete(DAY), OURS, found);
        assert_eq!(
            faults[1].to_string(),
            "retention.ms=1000, not 86400000: state could be deleted that is still needed"
        );
        assert_eq!(
            remedy("app-count-changelog", &faults),
            "kafka-configs --alter --entity-type topics --entity-name app-count-changelog \
             --add-config 'cleanup.policy=[compact,delete],retention.ms=86400000'"
        );
    }
}
