//! What each change of a store means; the table is in `compare`.

use super::compare::{List, as_many, quoted};
use super::{Manifest, ManifestKind, ManifestStore, Verdict};

impl List {
    pub(super) fn stores(&mut self, old: &Manifest, new: &Manifest) {
        let mut added: Vec<(&String, &ManifestStore)> =
            new.stores.iter().filter(|(name, _)| !old.stores.contains_key(*name)).collect();
        for (name, was) in &old.stores {
            if let Some(is) = new.stores.get(name) {
                self.store(name, was, is);
                continue;
            }
            let twin = added
                .iter()
                .position(|(other, is)| was.is_alike(is) && !old.retired.contains(*other));
            let Some(twin) = twin else {
                self.removed(name, was);
                continue;
            };
            let (renamed, _) = added.remove(twin);
            self.add(
                Verdict::NeedsMigration,
                format!("store `{name}`"),
                (quoted(name), quoted(renamed)),
                format!(
                    "state doesn't follow a rename: call it `{name}` again; or, if `{renamed}` is to begin empty, \
                     accept the change and delete topic `{}`",
                    was.changelog
                ),
            );
        }
        for (name, is) in added {
            self.added(name, is, old.retired.contains(name));
        }
    }

    fn removed(&mut self, name: &str, was: &ManifestStore) {
        self.add(
            Verdict::Compatible,
            format!("store `{name}`"),
            (was.shape(), "absent".into()),
            format!(
                "its changelog `{}` is orphaned: delete it when no older version will run again",
                was.changelog
            ),
        );
    }

    fn added(&mut self, name: &str, is: &ManifestStore, retired: bool) {
        let (verdict, remedy) = if retired {
            let remedy = format!(
                "an earlier version had it, and it has missed what came since: delete topic `{}` to begin empty, or \
                 keep it to go on with what it knew, then accept the change; or give it another name",
                is.changelog
            );
            (Verdict::NeedsMigration, remedy)
        } else {
            let remedy = "begins empty and knows only what is read from now on";
            (Verdict::Compatible, remedy.to_owned())
        };
        self.add(verdict, format!("store `{name}`"), ("absent".into(), is.shape()), remedy);
    }

    fn store(&mut self, name: &str, was: &ManifestStore, is: &ManifestStore) {
        let of = |what: &str| format!("{what} of store `{name}` (node `{}`)", is.node);
        let rename = format!(
            "its rows would be misread: undo the change, or give the store another name (it begins empty, `{}` is \
             orphaned)",
            was.changelog
        );
        if was.kind != is.kind {
            self.add(Verdict::Incompatible, of("kind"), (was.shape(), is.shape()), &rename);
            return;
        }
        if was.windows != is.windows {
            let windows = (was.windows_text(), is.windows_text());
            self.add(Verdict::Incompatible, of("windows"), windows, &rename);
        }
        if was.is_processors() != is.is_processors() {
            let operators = (quoted(&was.operator), quoted(&is.operator));
            self.add(Verdict::Incompatible, of("operator"), operators, &rename);
        } else if was.operator != is.operator && name == is.node {
            // Of the stores beside it nothing else is to be said.
            let operators = (quoted(&was.operator), quoted(&is.operator));
            self.add(Verdict::Compatible, of("operator"), operators, "goes on with its rows");
        }
        for (part, was, now) in [("key", &was.key, &is.key), ("value", &was.value, &is.value)] {
            if was != now {
                self.add(
                    Verdict::NeedsMigration,
                    of(&format!("{part} format")),
                    (quoted(was), quoted(now)),
                    "if the new codec reads the old rows, accept the change; else give the store another name: it \
                     begins empty",
                );
            }
        }
        if was.retention_ms != is.retention_ms {
            let remedy = "what has expired may be forgotten already; a changelog on Kafka keeps its retention.ms until somebody \
                          alters the topic";
            let retentions = (ms(was.retention_ms), ms(is.retention_ms));
            self.add(Verdict::Compatible, of("retention"), retentions, remedy);
        }
        // A topic whose count has changed tells this already.
        if was.partitions != is.partitions && was.sources != is.sources {
            let sources: Vec<String> = is.sources.iter().map(|topic| quoted(topic)).collect();
            self.add(
                Verdict::Incompatible,
                of("partitions"),
                (was.partitions.to_string(), is.partitions.to_string()),
                format!(
                    "its sub-topology reads {} now: {}",
                    sources.join(", "),
                    as_many(was.partitions, "these topics")
                ),
            );
        }
    }
}

impl ManifestStore {
    /// True for two stores that could be one under two names.
    fn is_alike(&self, other: &Self) -> bool {
        let same = |of: fn(&Self) -> (&str, &str, &str)| of(self) == of(other);
        same(|store| (&store.operator, &store.key, &store.value))
            && self.kind == other.kind
            && self.windows == other.windows
            && self.partitions == other.partitions
    }

    /// A processor writes plain rows, the library's operators write theirs with a time.
    fn is_processors(&self) -> bool {
        self.operator.starts_with("process")
    }

    fn shape(&self) -> String {
        let kind = match self.kind {
            ManifestKind::KeyValue => "key-value",
            ManifestKind::Window => "window",
            ManifestKind::WindowWithDuplicates => "window with duplicates",
            ManifestKind::Session => "session",
            ManifestKind::Versioned => "versioned",
        };
        format!("{kind} store of `{}` by `{}`", self.value, self.key)
    }

    fn windows_text(&self) -> String {
        match &self.windows {
            Some(windows) => match windows.size_ms {
                Some(size) => format!("{} windows of {size} ms", windows.kind),
                None => format!("{} windows", windows.kind),
            },
            None => "no windows".to_owned(),
        }
    }
}

fn ms(time: Option<i64>) -> String {
    time.map_or_else(|| "for ever".to_owned(), |ms| format!("{ms} ms"))
}
