//! The log's contract suite against a real Kafka broker: classic groups for
//! every case, KIP-848 groups for those about membership. A client process is
//! killed with SIGKILL in the middle of a transaction.

mod kafka;

use std::time::{Duration, Instant};

use log::contract::{self, LogFixture, Victim};
use log::kafka::GroupProtocol;
use log::{Cleanup, GroupConsumer, GroupOptions, LogError, Polled, TopicSpec};

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
    fn rebalances_leave_no_gap() {
        judge(contract::kept::rebalances_leave_no_gap);
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

/// Classic groups; librdkafka says once that a member's place is another's, and afterwards that all is well.
#[test]
fn a_member_fenced_before_it_takes_its_partitions_over_is_told_again() {
    let Some(kafka) = Kafka::from_environment() else { return };
    let log = kafka.log();
    let name = format!("fenced-{}", std::process::id());
    let spec =
        TopicSpec { name: name.clone(), partitions: 1, replication: 1, cleanup: Cleanup::Keep };
    log.admin().unwrap().ensure_topics(&[spec]).unwrap();
    let member = || {
        let options = GroupOptions {
            group: name.clone(),
            client_id: name.clone(),
            session_timeout: kafka.session_timeout(),
            max_poll_interval: Duration::from_secs(60),
            instance_id: Some("the-same".to_owned()),
        };
        let mut member = log.group_consumer(&options).unwrap();
        member.subscribe(&[&name]).unwrap();
        member
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let poll = |member: &mut Box<dyn GroupConsumer>| {
        assert!(Instant::now() < deadline, "it isn't told");
        member.poll(Duration::from_millis(50), 1, &mut |_| {})
    };
    let mut first = member();
    let assigned = loop {
        if let Polled::Assign(assigned) = poll(&mut first).unwrap() {
            break assigned;
        }
    };
    let mut second = member();
    let told = loop {
        poll(&mut second).unwrap();
        if let Err(told) = poll(&mut first) {
            break told;
        }
    };
    assert!(matches!(told, LogError::Fenced(_)), "{told:?}");
    let positions: Vec<_> = assigned.into_iter().map(|at| (at, 0)).collect();
    let again = first.ack_assign(&positions);
    assert!(matches!(again, Err(LogError::Fenced(_))), "{again:?}");
}
