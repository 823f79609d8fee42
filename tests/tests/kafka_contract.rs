//! The log's contract suite against a real Kafka broker: classic groups for
//! every case, KIP-848 groups for those about membership. A client process is
//! killed with SIGKILL in the middle of a transaction.

mod kafka;

use log::contract::{self, LogFixture, Victim};
use log::kafka::GroupProtocol;

use kafka::{Kafka, VICTIM};

/// The body of the child process; nothing when run as an ordinary test.
#[test]
fn the_victim() {
    let (Ok(name), Some(kafka)) = (std::env::var(VICTIM), Kafka::from_environment()) else {
        return;
    };
    Victim { name }.run_until_killed(kafka.log(), &kafka);
}

log::contract_tests!(match Kafka::from_environment() {
    Some(kafka) => kafka,
    None => return,
});

log::open_transaction_tests!(match Kafka::from_environment() {
    Some(kafka) => kafka,
    None => return,
});

/// Members whose assignment the broker decides (KIP-848).
mod broker_assigned {
    use super::*;

    fn judge(case: fn(&dyn LogFixture)) {
        if let Some(mut kafka) = Kafka::from_environment() {
            kafka.options.group_protocol = GroupProtocol::Consumer;
            case(&kafka);
        }
    }

    #[test]
    fn commit_is_atomic_over_topics_and_offsets() {
        judge(contract::transactions::commit_is_atomic_over_topics_and_offsets);
    }

    #[test]
    fn a_rebalance_waits_for_the_open_transaction() {
        judge(contract::groups::a_rebalance_waits_for_the_open_transaction);
    }

    #[test]
    fn a_successor_resumes_at_the_committed_offset() {
        judge(contract::groups::a_successor_resumes_at_the_committed_offset);
    }

    #[test]
    fn a_group_with_members_is_told_and_left_alone() {
        judge(contract::upkeep::a_group_with_members_is_told_and_left_alone);
    }

    #[test]
    fn offsets_of_an_empty_group_can_be_set_and_forgotten() {
        judge(contract::upkeep::offsets_of_an_empty_group_can_be_set_and_forgotten);
    }

    #[test]
    fn leaving_hands_over() {
        judge(contract::leaving::leaving_hands_over);
    }

    #[test]
    fn leaving_needs_no_assignment() {
        judge(contract::leaving::leaving_needs_no_assignment);
    }

    #[test]
    fn leaving_ignores_what_is_added() {
        judge(contract::leaving::leaving_ignores_what_is_added);
    }

    #[test]
    fn nothing_arrives_before_the_answer() {
        judge(contract::membership::nothing_arrives_before_the_answer);
    }

    #[test]
    fn pause_resume_and_seek() {
        judge(contract::membership::pause_resume_and_seek);
    }

    #[test]
    fn a_seek_or_an_assignment_ends_a_pause() {
        judge(contract::membership::a_seek_or_an_assignment_ends_a_pause);
    }

    #[test]
    fn a_group_reader_passes_markers() {
        judge(contract::membership::a_group_reader_passes_markers);
    }
}
