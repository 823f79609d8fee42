//! One contract for every log: the same cases judge Kafka, the embedded log on
//! RocksDB and the embedded log in memory.
//!
//! A new implementation writes a [`LogFixture`] and calls
//! [`contract_tests!`](crate::contract_tests), which makes one `#[test]` of
//! each case:
//!
//! ```text
//! log::contract_tests!(MyFixture::new());
//! ```
//!
//! One whose transactions lie open in the log, as Kafka's do, calls
//! [`open_transaction_tests!`](crate::open_transaction_tests) too.
//!
//! Invariant: a case uses nothing but the traits, makes its own topics, groups
//! and transactional ids, and waits for conditions, never for time to pass. So
//! cases may run side by side on one broker.

#![expect(clippy::unwrap_used, reason = "a test suite fails by panicking")]
#![allow(missing_debug_implementations, reason = "helpers of tests")]

pub mod deleting;
pub mod groups;
pub mod kept;
pub mod kill;
pub mod leaving;
pub mod membership;
pub mod open;
pub mod plain;
pub mod reading;
pub mod records;
pub mod scene;
pub mod transactions;
pub mod upkeep;

use std::sync::Arc;
use std::time::Duration;

pub use kill::Victim;
pub use scene::{Member, Owned, Scene};

use crate::Log;

/// What the suite needs from an implementation.
pub trait LogFixture {
    /// The running log. Cases may share it.
    fn log(&self) -> Arc<dyn Log>;

    /// For [`GroupOptions`](crate::GroupOptions); as short as the log allows.
    fn session_timeout(&self) -> Duration;

    /// Longest the suite waits for anything before it fails.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Runs `victim` on a log, ends it as `kill -9` would when it reports that
    /// it is in the middle of its transaction, and returns that log as a
    /// successor finds it. In memory: crash and reopen; otherwise a real
    /// process (see [`kill::Killed`]).
    fn kill_in_transaction(&self, victim: &Victim) -> Arc<dyn Log>;
}

impl<F: LogFixture + ?Sized> LogFixture for &F {
    fn log(&self) -> Arc<dyn Log> {
        (**self).log()
    }

    fn session_timeout(&self) -> Duration {
        (**self).session_timeout()
    }

    fn patience(&self) -> Duration {
        (**self).patience()
    }

    fn kill_in_transaction(&self, victim: &Victim) -> Arc<dyn Log> {
        (**self).kill_in_transaction(victim)
    }
}

/// Makes one `#[test]` for each case of the contract. Takes an expression that
/// makes a [`LogFixture`], evaluated once per case.
#[macro_export]
macro_rules! contract_tests {
    ($fixture:expr) => {
        $crate::contract_tests! { @cases $fixture;
            transactions: [
                commit_is_atomic_over_topics_and_offsets
                abort_leaves_nothing
                an_open_transaction_is_invisible
                init_fences_and_aborts_the_predecessor
                acknowledged_names_the_end_of_what_was_sent
                markers_leave_holes_that_readers_pass
                transactions_follow_each_other_at_once
                a_transaction_of_offsets_alone_commits
            ];
            plain: [
                what_is_flushed_is_there_and_stays
                offsets_are_committed_behind_the_records
                a_stale_generation_commits_no_offsets
            ];
            groups: [
                a_stale_generation_is_refused
                no_membership_is_refused_locally
                a_successor_resumes_at_the_committed_offset
                a_rebalance_waits_for_the_open_transaction
            ];
            membership: [
                range_keeps_copartitioned_topics_together
                nothing_arrives_before_the_answer
                pause_resume_and_seek
                a_seek_or_an_assignment_ends_a_pause
                a_group_reader_passes_markers
                a_waker_ends_a_group_poll
                an_unknown_topic_cannot_be_subscribed
            ];
            kept: [
                rebalances_leave_no_gap
            ];
            leaving: [
                leaving_hands_over
                leaving_needs_no_assignment
            ];
            records: [
                keys_values_headers_and_times_survive
                order_holds_within_a_partition
                keys_choose_partitions_as_java_does
                large_records_pass
                oversize_records_are_refused
                a_record_that_its_topic_never_takes_is_refused
            ];
            reading: [
                an_empty_topic_is_at_its_end
                an_unknown_topic_is_an_error
                reading_starts_anywhere
                an_assignment_replaces_what_was_fetched_for_the_one_before
                a_durable_reader_sees_what_was_acknowledged
                ends_agree_when_nothing_is_open
                a_waker_ends_a_read
                topics_are_made_once
                committed_offsets_are_none_at_first
            ];
            deleting: [
                deleted_records_are_gone
                reading_below_the_start_is_an_error
                deleting_asks_for_what_can_be_deleted
            ];
            upkeep: [
                a_group_with_members_is_told_and_left_alone
                offsets_of_an_empty_group_can_be_set_and_forgotten
                a_deleted_topic_can_be_made_again_as_another
                offsets_are_found_by_time
            ];
            kill: [
                a_kill_in_the_middle_of_a_transaction_leaves_nothing_of_it
            ];
        }
    };
    (@cases $fixture:expr; $($module:ident: [$($case:ident)*];)*) => {
        $($(
            #[test]
            fn $case() {
                $crate::contract::$module::$case(&$fixture);
            }
        )*)*
    };
}

/// The cases for logs whose transactions lie open in the log; as [`contract_tests!`](crate::contract_tests).
#[macro_export]
macro_rules! open_transaction_tests {
    ($fixture:expr) => {
        $crate::contract_tests! { @cases $fixture;
            open: [
                an_open_transaction_holds_back_what_lies_behind_it
                a_reader_without_isolation_sees_what_is_open
                offsets_of_an_open_transaction_are_not_told
                open_transactions_lie_side_by_side
            ];
        }
    };
}
