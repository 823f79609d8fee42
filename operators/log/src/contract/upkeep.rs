//! Groups and topics in the hands of a person.

use super::LogFixture;
use super::scene::{Scene, record, texts};
use crate::{AppendExt, Isolation, LogError, NewRecord, TopicPartition};

/// A group tells who is in it; while somebody is, its offsets are nobody's to change.
pub fn a_group_with_members_is_told_and_left_alone(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "told");
    let topic = scene.topic("in", 2);
    let group = scene.name("group");
    assert_eq!(scene.admin.group(&group).unwrap().members, [], "nobody yet");
    let mut member = scene.member("group", "00-client", &[&topic]);
    scene.until("the member reads", || {
        member.turn(&scene);
        member.owned.len() == 2
    });
    let mut told = scene.admin.group(&group).unwrap();
    scene.until("the coordinator has heard of it", || {
        told = scene.admin.group(&group).unwrap();
        told.state == "Stable"
    });
    assert_eq!(told.members.len(), 1, "{told:?}");
    assert_eq!(told.members[0].client_id, "00-client");
    let mut owned = told.members[0].partitions.clone();
    owned.sort();
    assert_eq!(owned, scene.partitions(&topic, 2));
    let at = TopicPartition::new(topic.as_str(), 0);
    for refused in [scene.admin.set_offsets(&group, &[(at, 0)]), scene.admin.forget_group(&group)] {
        let refused = refused.expect_err("somebody is in the group");
        let named = matches!(&refused, LogError::Fatal(text) if text.contains(&group));
        assert!(named, "{refused:?}");
    }
    member.leave(&scene);
    scene.until("the member is gone", || scene.admin.group(&group).unwrap().members.is_empty());
}

/// Offsets of a group without members can be set, one by one, and forgotten, all together.
pub fn offsets_of_an_empty_group_can_be_set_and_forgotten(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "offsets");
    let topic = scene.topic("in", 2);
    let group = scene.name("group");
    let both = scene.partitions(&topic, 2);
    scene.append(&topic, 0, &["a", "b", "c"]);
    scene.admin.set_offsets(&group, &[(both[0].clone(), 2)]).unwrap();
    assert_eq!(scene.admin.committed_offsets(&group, &both).unwrap(), [Some(2), None]);
    scene.admin.set_offsets(&group, &[(both[0].clone(), 1), (both[1].clone(), 0)]).unwrap();
    assert_eq!(scene.admin.committed_offsets(&group, &both).unwrap(), [Some(1), Some(0)]);
    let mut member = scene.member("group", "00-client", &[&topic]);
    scene.until("a member goes on where it was told", || {
        member.turn(&scene);
        member.records.len() == 2
    });
    assert_eq!(texts(&member.records), ["b", "c"]);
    member.leave(&scene);
    scene.until("the member is gone", || scene.admin.group(&group).unwrap().members.is_empty());
    for _ in 0..2 {
        scene.admin.forget_group(&group).unwrap();
        assert_eq!(scene.admin.committed_offsets(&group, &both).unwrap(), [None, None]);
    }
}

/// A topic that is made again is another one, with nothing in it, and nobody has committed anything of it.
pub fn a_deleted_topic_can_be_made_again_as_another(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "again");
    let (topic, other) = (scene.topic("in", 1), scene.topic("other", 1));
    let group = scene.name("group");
    let at = scene.partitions(&topic, 1);
    scene.append(&topic, 0, &["a", "b"]);
    scene.append(&other, 0, &["x"]);
    scene.admin.set_offsets(&group, &[(at[0].clone(), 1)]).unwrap();
    let before = scene.admin.describe(&[&topic]).unwrap();
    for _ in 0..2 {
        scene.admin.delete_topics(&[&topic, &scene.name("missing")]).unwrap();
        assert_eq!(scene.admin.describe(&[&topic]).unwrap(), [None]);
    }
    assert_eq!(scene.topic("in", 1), topic);
    let after = scene.admin.describe(&[&topic]).unwrap();
    assert_ne!(after[0].as_ref().unwrap().id, before[0].as_ref().unwrap().id);
    assert_eq!(scene.admin.end_offsets(&at, Isolation::ReadUncommitted).unwrap(), [0]);
    scene.append(&topic, 0, &["c"]);
    assert_eq!(texts(&scene.read(&topic, 1)), ["c"]);
    assert_eq!(texts(&scene.read(&other, 1)), ["x"]);
}

/// The first record of a time or later, whatever follows it.
pub fn offsets_are_found_by_time(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "times");
    let topic = scene.topic("in", 2);
    let both = scene.partitions(&topic, 2);
    let appender = scene.log.appender("contract-appender").unwrap();
    for timestamp in [1_000, 3_000, 2_000] {
        let new = NewRecord { timestamp, ..record("k", "v") };
        futures::executor::block_on(appender.appended(&topic, Some(0), new)).unwrap();
    }
    let found = |time| scene.admin.offsets_at(&both, time).unwrap();
    assert_eq!(found(0), [0, 0]);
    assert_eq!(found(1_001), [1, 0]);
    assert_eq!(found(2_500), [1, 0]);
    assert_eq!(found(3_001), [3, 0], "the end");
}
