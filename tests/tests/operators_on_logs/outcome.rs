//! What comes out, in a form that two logs can be compared by.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::contract::{Scene, scene::Owned};
use operators::{DEAD_LETTERS, RawBytes, Topic};

use crate::flow::{NO_BOX, OUTPUTS, Order, score, topology};
use crate::script::{Line, PARTITIONS, acts, played};
use crate::service::reply;

/// Of one topic: what its order can be relied on for, and then the records in that order.
pub(crate) type Shown = BTreeMap<String, Vec<String>>;

/// A record of any log.
struct Found<'a> {
    partition: u32,
    key: &'a [u8],
    value: Option<&'a [u8]>,
    time: i64,
}

fn show<'a>(order: Order, records: impl Iterator<Item = Found<'a>>) -> Shown {
    let mut shown = Shown::new();
    for Found { partition, key, value, time } in records {
        let key = key.escape_ascii().to_string();
        let value = value.map_or_else(|| "-".to_owned(), |value| value.escape_ascii().to_string());
        match order {
            Order::Partition => {
                let lines = shown.entry(format!("partition {partition}")).or_default();
                lines.push(format!("{key} = {value} at {time}"));
            }
            Order::Key => shown.entry(key).or_default().push(value),
            Order::Last => drop(shown.insert(key, vec![value])),
        }
    }
    if order == Order::Last {
        shown.retain(|_, row| row[..] != ["-"]);
    }
    shown
}

/// What the test driver gives.
pub(crate) fn expected(name: &dyn Fn(&str) -> String) -> BTreeMap<&'static str, Shown> {
    let mended = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&mended);
    let topology = topology(name, &(Arc::new(move || asked.load(Ordering::SeqCst)) as _));
    let mend = || mended.store(true, Ordering::SeqCst);
    let driver = played(&topology, name, mend, |driver| {
        for call in driver.calls(&score()) {
            driver.answer(&score(), &call.id, Ok(&reply(&call.request))).unwrap();
        }
    });
    let outcome = OUTPUTS.map(|(output, order)| {
        let topic = Topic::<[u8], [u8]>::new(name(output), RawBytes, RawBytes);
        let records = driver.output(&topic).read_records();
        let found = records.iter().map(|record| Found {
            partition: record.partition,
            key: record.key.as_deref().unwrap_or_default(),
            value: record.value.as_deref(),
            time: record.timestamp,
        });
        (output, show(order, found))
    });
    outcome.into()
}

/// What a log has, of what is committed.
pub(crate) fn on_the_log(scene: &Scene, output: &str, order: Order) -> Shown {
    let records = scene.read_now(&scene.name(output), PARTITIONS);
    show(
        order,
        records.iter().map(|record| Found {
            partition: record.partition,
            key: record.key.as_deref().unwrap_or_default(),
            value: record.value.as_deref(),
            time: record.timestamp,
        }),
    )
}

fn lines(shown: &Shown) -> usize {
    shown.values().map(Vec::len).sum()
}

/// Waits until everything is there; more than that is an error of [`check`].
pub(crate) fn wait_for(scene: &Scene, expected: &BTreeMap<&'static str, Shown>) {
    for (output, order) in OUTPUTS {
        let wanted = &expected[output];
        scene.until(&format!("{output} is complete"), || {
            let found = on_the_log(scene, output, order);
            match order {
                Order::Last => found == *wanted,
                _ => lines(&found) >= lines(wanted),
            }
        });
    }
    let all = to_nowhere();
    scene.until("all letters to nowhere are dead letters", || buried(scene).len() >= all);
}

/// Holds what is on the log against what should be.
pub(crate) fn check(scene: &Scene, expected: &BTreeMap<&'static str, Shown>) {
    for (output, order) in OUTPUTS {
        let (found, wanted) = (on_the_log(scene, output, order), &expected[output]);
        for (group, wanted) in wanted {
            let none = Vec::new();
            let found = found.get(group).unwrap_or(&none);
            let same =
                found.iter().zip(wanted).take_while(|(found, wanted)| found == wanted).count();
            let near = |lines: &[String]| {
                lines[same.min(lines.len())..].iter().take(3).cloned().collect::<Vec<_>>()
            };
            assert!(
                found == wanted,
                "{output}, {group}: from line {same} on {:?} instead of {:?}",
                near(found),
                near(wanted)
            );
        }
        assert_eq!(found.len(), wanted.len(), "{output} has groups that it shouldn't");
    }
}

fn header(letter: &Owned, name: &str) -> Option<String> {
    let found = letter.headers.iter().find(|(header, _)| header == name);
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// Dead letters of this scene's letters; others' lie beside them.
fn buried(scene: &Scene) -> Vec<Owned> {
    let described = scene.admin.describe(&[DEAD_LETTERS]).unwrap();
    let mut buried = scene.read_now(DEAD_LETTERS, described[0].as_ref().unwrap().partitions);
    buried.retain(|letter| header(letter, "__streams.errors.topic") == Some(scene.name("mail")));
    buried
}

/// How many letters are sent to a topic that isn't there.
fn to_nowhere() -> usize {
    let to_nowhere = |line: &&Line| line.topic == "mail" && line.value.as_deref() == Some("d");
    acts().iter().flatten().filter(to_nowhere).count()
}

/// Letters to a topic that isn't there are dead letters which say so, each exactly once, and nobody has made the topic.
pub(crate) fn check_letters_to_nowhere(scene: &Scene) {
    let nowhere = scene.name(NO_BOX);
    assert_eq!(scene.admin.describe(&[&nowhere]).unwrap(), [None], "made by naming it");
    let (buried, cause) = (buried(scene), format!("topic `{nowhere}` doesn't exist; create it"));
    for letter in &buried {
        assert_eq!(letter.text(), "d");
        let message = header(letter, "__streams.errors.message").unwrap();
        assert!(message.contains(&cause), "{message}");
    }
    let place = |letter: &Owned| {
        ["partition", "offset"].map(|part| header(letter, &format!("__streams.errors.{part}")))
    };
    let places: BTreeSet<_> = buried.iter().map(place).collect();
    assert_eq!((buried.len(), places.len()), (to_nowhere(), to_nowhere()));
}
