//! How the workers are members of their consumer groups on Kafka.

use std::time::Duration;

use anyhow::{Result, bail};
use log::kafka::GroupProtocol;

use super::{Env, name};

/// What brokers allow by default (`group.min.session.timeout.ms`, `group.max.session.timeout.ms`), in seconds.
const SESSION: std::ops::RangeInclusive<u64> = 6..=1_800;

/// Membership in consumer groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub protocol: GroupProtocol,
    /// Makes the workers static members.
    pub instance_id: Option<String>,
    /// Of the classic protocol.
    pub session_timeout: Duration,
}

impl Group {
    /// # Errors
    /// The first variable that is wrong, or that has no meaning beside the others, by name.
    pub(super) fn read(env: &Env) -> Result<Self> {
        let protocol = match env.text_or("GROUP_PROTOCOL", "classic").as_str() {
            "classic" => GroupProtocol::Classic,
            "consumer" => GroupProtocol::Consumer,
            other => bail!("GROUP_PROTOCOL={other:?} can't be read: expected classic or consumer"),
        };
        let timeout = "GROUP_SESSION_TIMEOUT_SECONDS";
        let seconds = env.within(timeout, "seconds from 6 to 1800", SESSION, 6)?;
        if protocol == GroupProtocol::Consumer && env.text(timeout).is_some() {
            bail!(
                "{timeout} has no effect with GROUP_PROTOCOL=consumer: the broker decides \
                 (group.consumer.session.timeout.ms); leave one of them out"
            );
        }
        let instance_id = name(env, "GROUP_INSTANCE_ID")?;
        Ok(Self { protocol, instance_id, session_timeout: Duration::from_secs(seconds) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Result<Group, String> {
        Group::read(&Env::of(values)).map_err(|error| error.to_string())
    }

    #[test]
    fn members_are_classic_and_dynamic_unless_told_otherwise() {
        let seconds = Duration::from_secs;
        let (classic, consumer) = (GroupProtocol::Classic, GroupProtocol::Consumer);
        let group = |protocol, instance_id: Option<&str>, session_timeout| Group {
            protocol,
            instance_id: instance_id.map(str::to_owned),
            session_timeout,
        };
        assert_eq!(read(&[]), Ok(group(classic, None, seconds(6))));
        let named = [("GROUP_INSTANCE_ID", "rack-1.a"), ("GROUP_SESSION_TIMEOUT_SECONDS", "60")];
        assert_eq!(read(&named), Ok(group(classic, Some("rack-1.a"), seconds(60))));
        let new = read(&[("GROUP_PROTOCOL", "consumer")]);
        assert_eq!(new, Ok(group(consumer, None, seconds(6))));
    }

    #[test]
    fn what_is_wrong_or_without_effect_is_named() {
        for (values, named) in [
            (&[("GROUP_PROTOCOL", "kip848")][..], "GROUP_PROTOCOL=\"kip848\""),
            (&[("GROUP_INSTANCE_ID", "a b")], "GROUP_INSTANCE_ID=\"a b\""),
            (&[("GROUP_SESSION_TIMEOUT_SECONDS", "5")], "GROUP_SESSION_TIMEOUT_SECONDS=\"5\""),
            (
                &[("GROUP_PROTOCOL", "consumer"), ("GROUP_SESSION_TIMEOUT_SECONDS", "60")],
                "GROUP_SESSION_TIMEOUT_SECONDS has no effect",
            ),
        ] {
            let refused = read(values).unwrap_err();
            assert!(refused.starts_with(named), "{refused}");
        }
    }
}
