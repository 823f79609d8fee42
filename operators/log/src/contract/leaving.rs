//! How a member leaves its group, whatever it was asked meanwhile.

use super::LogFixture;
use super::scene::{Member, Scene, record};
use crate::{Polled, TopicPartition};

/// What a leaving member owned goes to those who stay.
pub fn leaving_hands_over(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "leaving");
    let topic = scene.topic("in", 2);
    let mut leaving = scene.member("group", "00-leaving", &[&topic]);
    let mut staying = scene.member("group", "01-staying", &[&topic]);
    scene.until("both own a partition", || {
        leaving.turn(&scene);
        staying.turn(&scene);
        leaving.owned.len() == 1 && staying.owned.len() == 1
    });
    leaving.leave(&scene);
    scene.until("the other one owns all", || {
        staying.turn(&scene);
        staying.owned.len() == 2
    });
    staying.leave(&scene);
}

/// A member may leave before it has answered its first assignment, whether it
/// has heard of it or not.
pub fn leaving_needs_no_assignment(fixture: &dyn LogFixture) {
    for heard in [false, true] {
        let scene = Scene::new(fixture, if heard { "heard" } else { "unheard" });
        let topic = scene.topic("in", 2);
        let mut leaving = scene.member("group", "00-leaving", &[&topic]);
        if heard {
            scene.until("an assignment", || matches!(leaving.poll(), Polled::Assign(_)));
        } else {
            until_assigned(&scene, "00-leaving", 2);
        }
        leaving.leave(&scene);
        let mut next = scene.member("group", "01-next", &[&topic]);
        scene.until("the next one owns all", || {
            next.turn(&scene);
            next.owned.len() == 2
        });
        next.leave(&scene);
    }
}

/// What is added to a member that has begun to leave doesn't hasten it: its
/// open transaction commits, and the successor goes on behind it. For groups
/// that add to an assignment without taking it back first.
pub fn leaving_ignores_what_is_added(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "added");
    let topic = scene.topic("in", 2);
    let [first, mut leaving] =
        ["00-first", "01-leaving"].map(|id| scene.member("group", id, &[&topic]));
    let mut first = Some(first);
    scene.until("both own a partition", || {
        let first = first.as_mut().expect("is there");
        first.turn(&scene);
        leaving.turn(&scene);
        first.owned.len() == 1 && leaving.owned.len() == 1
    });
    let at = leaving.owned[0].clone();
    let mut producer = scene.producer("leaving");
    producer.begin().unwrap();
    producer.send(&topic, at.partition, record("k", "written")).unwrap();
    first.take().expect("is there").leave(&scene);
    until_assigned(&scene, "01-leaving", 2);
    leaving.consumer.unsubscribe().unwrap();
    let revoked = until_revoked(&scene, &mut leaving);
    assert_eq!(revoked, std::slice::from_ref(&at), "what it never owned isn't taken from it");
    producer.send_offsets(&[(at.clone(), 1)], leaving.membership()).unwrap();
    producer.commit().unwrap();
    leaving.give_up(&revoked);
    assert_eq!(leaving.committed(&scene, &at), Some(1));
    let mut next = scene.member("group", "02-next", &[&topic]);
    scene.until("the next one owns all", || {
        next.turn(&scene);
        next.owned.len() == 2
    });
    next.leave(&scene);
}

fn until_revoked(scene: &Scene, member: &mut Member) -> Vec<TopicPartition> {
    let mut revoked = Vec::new();
    scene.until("the revoke that follows an unsubscribe", || match member.poll() {
        Polled::Revoke { partitions, .. } => {
            revoked = partitions;
            true
        }
        polled => {
            assert!(matches!(polled, Polled::Records(_)), "{polled:?}");
            false
        }
    });
    revoked
}

/// Until the group's coordinator has given the member so many partitions.
fn until_assigned(scene: &Scene, client_id: &str, count: usize) {
    let group = scene.name("group");
    scene.until("the coordinator has assigned them", || {
        let told = scene.admin.group(&group).unwrap();
        told.members.iter().any(|at| at.client_id == client_id && at.partitions.len() == count)
    });
}
