//! When kept state may not be continued. State is never thrown away because of a crash; only when reading on from its
//! offset could give a wrong answer.

/// What the log says about a changelog partition now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangelogRange<'a> {
    /// Which topic of its name it is, if the log tells that.
    pub id: Option<&'a str>,
    /// The first offset it still holds.
    pub start: i64,
    /// The offset after its last record.
    pub end: i64,
    /// `delete.retention.ms`, if it is compacted: how long tombstones stay readable.
    pub delete_retention_ms: Option<i64>,
}

/// Why a store has to be rebuilt from the start of its changelog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rebuild {
    /// The topic was deleted and made anew: offsets of the former one say nothing.
    #[error("the state is that of a changelog that was deleted; another one has its name")]
    Recreated,
    /// Tombstones that the state hasn't seen may have been compacted away.
    #[error(
        "the state is {age_ms} ms old; tombstones are sure to be readable for {limit_ms} ms only"
    )]
    TooOld {
        /// Time since the state was known to be the changelog's.
        age_ms: i64,
        /// Half of `delete.retention.ms`.
        limit_ms: i64,
    },
    /// Records that the state hasn't seen were deleted.
    #[error("the state stands for offset {position}, the changelog begins at {start}")]
    BeforeStart {
        /// The state's next offset.
        position: i64,
        /// The changelog's first one.
        start: i64,
    },
    /// The state has seen records that the changelog never had: it is another one, or lost its end.
    #[error("the state stands for offset {position}, the changelog ends at {end}")]
    BeyondEnd {
        /// The state's next offset.
        position: i64,
        /// The changelog's end.
        end: i64,
    },
}

/// The rule. `position` is the state's next changelog offset (`None`: nothing kept, so nothing to doubt), `as_of_ms`
/// when its rows were last known to be the changelog's, `topic_id` whose they are, if anybody has told.
pub(crate) fn needs_rebuild(
    (position, topic_id): (Option<i64>, Option<&str>),
    as_of_ms: Option<i64>,
    changelog: &ChangelogRange<'_>,
    now_ms: i64,
) -> Option<Rebuild> {
    let ChangelogRange { id, start, end, delete_retention_ms } = *changelog;
    let position = position?;
    if topic_id.zip(id).is_some_and(|(was, is)| was != is) {
        return Some(Rebuild::Recreated);
    }
    if position > end {
        return Some(Rebuild::BeyondEnd { position, end });
    }
    if position < start {
        return Some(Rebuild::BeforeStart { position, start });
    }
    let (Some(retention), Some(as_of_ms)) = (delete_retention_ms, as_of_ms) else { return None };
    let (age_ms, limit_ms) = (now_ms.saturating_sub(as_of_ms), retention / 2);
    // With nothing left to read there is no tombstone to miss.
    (age_ms > limit_ms && position < end).then_some(Rebuild::TooOld { age_ms, limit_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: ChangelogRange<'_> =
        ChangelogRange { id: None, start: 10, end: 20, delete_retention_ms: Some(1000) };

    #[test]
    fn the_rule() {
        let cases = [
            (None, Some(0), 9999, None),
            (Some(15), Some(0), 500, None),
            (Some(15), None, 9999, None),
            (Some(15), Some(0), 501, Some(Rebuild::TooOld { age_ms: 501, limit_ms: 500 })),
            (Some(20), Some(0), 501, None),
            (Some(9), Some(0), 0, Some(Rebuild::BeforeStart { position: 9, start: 10 })),
            (Some(10), Some(0), 0, None),
            (Some(21), Some(0), 0, Some(Rebuild::BeyondEnd { position: 21, end: 20 })),
        ];
        for (position, as_of, now, expected) in cases {
            assert_eq!(
                needs_rebuild((position, Some("id")), as_of, &RANGE, now),
                expected,
                "{position:?} {as_of:?} {now}"
            );
        }
        let kept = ChangelogRange { delete_retention_ms: None, ..RANGE };
        assert_eq!(needs_rebuild((Some(15), None), Some(0), &kept, i64::MAX), None);
    }

    #[test]
    fn a_topic_of_the_same_name_is_another() {
        let now = ChangelogRange { id: Some("new"), ..RANGE };
        let why = |position, was| needs_rebuild((position, was), Some(0), &now, 0);
        assert_eq!(why(Some(15), Some("old")), Some(Rebuild::Recreated));
        assert_eq!(why(Some(15), Some("new")), None);
        assert_eq!(why(Some(15), None), None, "from before anybody told: taken for this one's");
        assert_eq!(why(None, Some("old")), None);
    }
}
