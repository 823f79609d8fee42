//! Old and new: what each change of a manifest means.
//!
//! | change | verdict |
//! |---|---|
//! | stateless operators, sinks, sub-topologies, names of nodes | same |
//! | grace, advance or gap of windows, emission, intervals, closures | same: not in the manifest |
//! | topic added, topic of others removed, another codec for a topic of others | compatible |
//! | store added | compatible: begins empty |
//! | store removed | compatible: its changelog is orphaned |
//! | retention of a store | compatible |
//! | operator of a store, rows alike (`count` → `aggregate`) | compatible |
//! | partition count of a topic that no state follows | compatible |
//! | store added under a name that an earlier version had | needs migration |
//! | store renamed: one removed, one like it added | needs migration |
//! | format of a store's keys or values | needs migration |
//! | repartition topic removed, or of another format: records may be on their way | needs migration |
//! | kind of a store, size or kind of its windows, rows of a processor or of an operator | incompatible |
//! | partition count of a store or of a repartition topic | incompatible |
//! | application, layout of the library's rows | incompatible |

use super::{Comparison, Difference, Manifest, ManifestSource, ManifestStore, Verdict};

impl Manifest {
    /// What it means to go on with `new` on the state that `old` left.
    pub fn compare(old: &Self, new: &Self) -> Comparison {
        let mut list = List::default();
        if old.application != new.application {
            list.add(
                Verdict::Incompatible,
                "application",
                (quoted(&old.application), quoted(&new.application)),
                "the state belongs to another application: give each one a state folder of its own",
            );
        } else if old.row_layouts != new.row_layouts {
            list.add(
                Verdict::Incompatible,
                "layout of rows",
                (format!("version {}", old.row_layouts), format!("version {}", new.row_layouts)),
                "start the program that wrote the state, or begin anew under another application.id",
            );
        } else {
            list.sources(old, new);
            list.stores(old, new);
        }
        Comparison::new(old, new, list.0)
    }
}

#[derive(Default)]
pub(super) struct List(Vec<Difference>);

impl List {
    pub(super) fn add(
        &mut self,
        verdict: Verdict,
        subject: impl Into<String>,
        (old, new): (String, String),
        remedy: impl Into<String>,
    ) {
        let (subject, remedy) = (subject.into(), remedy.into());
        self.0.push(Difference { verdict, subject, old, new, remedy });
    }

    fn sources(&mut self, old: &Manifest, new: &Manifest) {
        for (topic, was) in &old.sources {
            match new.sources.get(topic) {
                Some(is) => self.source(topic, (was, is), new),
                None if was.repartition => self.add(
                    Verdict::NeedsMigration,
                    format!("repartition topic `{topic}`"),
                    ("read".into(), "not read".into()),
                    "records on their way in it would be lost: run the old version without input until it has read \
                     the topic to its end, then accept the change",
                ),
                None => self.add(
                    Verdict::Compatible,
                    format!("topic `{topic}`"),
                    ("read".into(), "not read".into()),
                    "what it holds beyond the committed offsets isn't read any more",
                ),
            }
        }
        for (topic, is) in new.sources.iter().filter(|(topic, _)| !old.sources.contains_key(*topic))
        {
            let what = if is.repartition { "repartition topic" } else { "topic" };
            self.add(
                Verdict::Compatible,
                format!("{what} `{topic}`"),
                ("not read".into(), "read".into()),
                "is read from its start, or from where this application left it earlier",
            );
        }
    }

    fn source(
        &mut self,
        topic: &str,
        (was, is): (&ManifestSource, &ManifestSource),
        new: &Manifest,
    ) {
        if was.partitions != is.partitions {
            let feeds = |(_, store): &(&String, &ManifestStore)| store.sources.contains(topic);
            let state: Vec<String> =
                new.stores.iter().filter(feeds).map(|(name, _)| quoted(name)).collect();
            let (verdict, remedy) = match (state.as_slice(), is.repartition) {
                ([], false) => (Verdict::Compatible, "no state follows its partitions".to_owned()),
                ([], true) => (Verdict::Incompatible, as_many(was.partitions, "its source")),
                (state, _) => {
                    let kept = format!(
                        "the rows of {} would stay where keys of the old count belong: ",
                        state.join(", ")
                    );
                    (Verdict::Incompatible, kept + &as_many(was.partitions, "the topic"))
                }
            };
            let counts = (was.partitions.to_string(), is.partitions.to_string());
            self.add(verdict, format!("partitions of topic `{topic}`"), counts, remedy);
        }
        let formats = [("key", &was.key, &is.key), ("value", &was.value, &is.value)];
        for (part, was, now) in formats.into_iter().filter(|(_, was, now)| was != now) {
            let (verdict, remedy) = if is.repartition {
                (
                    Verdict::NeedsMigration,
                    "records on their way in it can't be read: run the old version without input until it has read \
                     the topic to its end, then accept the change",
                )
            } else {
                (
                    Verdict::Compatible,
                    "records that the new codec can't read go where the source's error policy says (dead_letters)",
                )
            };
            self.add(
                verdict,
                format!("{part} format of topic `{topic}`"),
                (quoted(was), quoted(now)),
                remedy,
            );
        }
    }
}

pub(super) fn as_many(partitions: u32, topic: &str) -> String {
    format!(
        "recreate {topic} with {partitions} partitions, or begin anew under another application.id"
    )
}

pub(super) fn quoted(name: &str) -> String {
    format!("`{name}`")
}
