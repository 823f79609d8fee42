//! Whether a topology may go on with the state that is there, asked before anything is created or read.
//!
//! Its manifest is kept twice: in the log, topic `<application.id>-manifest`, where every instance sees it; and in
//! the state folder, whose rows may be of another time than the log's. Both must fit.
//!
//! Invariants: a start writes nothing unless both fit; it writes the log's copy, then the folder's, before the first
//! record is processed. So a crash leaves copies that are those of the state, or of a topology that the state fits:
//! the same start again goes through, whichever of the two was written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use log::error::LogError;
use log::record::{NewRecord, TopicPartition};
use log::topic::{Cleanup, TopicSpec};
use log::traits::{Admin, Isolation, Log, TxnProducer, Visibility};
use operators::{Manifest, Verdict};

use crate::error::WorkerError;
use crate::worker::Worker;

/// Keys of the records that count: the manifest, and there while a reset of the application is under way.
const KEY: &[u8] = b"manifest";
const RESET: &[u8] = b"reset";

/// 10 s: a log that gives nothing for so long is asked again later.
const POLLS_MAX: u32 = 200;

const ATTEMPTS_MAX: u32 = 5;

/// 10 s: a topic that was made is known everywhere by then.
const ASKED_MAX: u32 = 500;

/// Half a second: a broker that still doesn't tell the id of a topic knows of no ids.
const NAMELESS_MAX: u32 = 25;

const ASK_AGAIN: Duration = Duration::from_millis(20);

/// The new manifest, with what of it isn't kept yet.
pub(crate) struct Agreed {
    manifest: Manifest,
    in_log: bool,
    in_folder: bool,
    /// Of the topic: another one after each reset. Empty where the broker doesn't tell.
    pub(crate) life: String,
}

/// What the topic holds.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    manifest: Option<Vec<u8>>,
    /// A reset was begun and isn't finished: what is there is of no use any more.
    pub(crate) in_reset: bool,
}

impl Kept {
    /// The internal topics of the topology that ran last, and of those before it. None where the manifest can't be read.
    pub(crate) fn internal_topics(&self) -> BTreeSet<String> {
        let Some(text) = &self.manifest else { return BTreeSet::new() };
        match Manifest::from_json(&String::from_utf8_lossy(text)) {
            Ok(manifest) => manifest.internal_topics(),
            Err(error) => {
                tracing::warn!(%error, "topics of former topologies aren't known");
                BTreeSet::new()
            }
        }
    }
}

/// `<application.id>-manifest`.
pub(crate) fn topic(application: &str) -> String {
    format!("{application}-manifest")
}

/// The topic, made if it isn't there.
fn ensure(admin: &dyn Admin, topic: &str, replication: i32) -> Result<(), LogError> {
    let (name, partitions, cleanup) = (topic.to_owned(), 1, Cleanup::Compact);
    let spec = TopicSpec { name, partitions, replication, cleanup };
    // It is read from its start each time: no tombstone can be missed.
    admin.ensure_internal(&[spec], Duration::ZERO)
}

/// Which life of the application this is: another one after each reset, which deletes the topic of the manifest. State
/// folders keep it ([`StateOptions::incarnation`](state_stores::StateOptions)). Makes the topic if it isn't there; `None`
/// where the broker doesn't tell topics of one name apart.
///
/// # Errors
/// The log's.
pub fn incarnation(
    admin: &dyn Admin,
    application: &str,
    replication: i32,
) -> Result<Option<String>, LogError> {
    let topic = topic(application);
    ensure(admin, &topic, replication)?;
    // The broker that is asked may hear of the topic later than the one that made it, and of its id later still. Who took
    // that for an answer would go on with the state of a former life.
    for asked in 0..ASKED_MAX {
        match life(admin, &topic)? {
            Some(id) if !id.is_empty() => return Ok(Some(id)),
            Some(_) if asked >= NAMELESS_MAX => return Ok(None),
            _ => std::thread::sleep(ASK_AGAIN),
        }
    }
    Err(LogError::Retriable(format!("topic {topic} was made and still isn't there")))
}

/// The id of the topic, if it is there.
fn life(admin: &dyn Admin, topic: &str) -> Result<Option<String>, LogError> {
    let found = admin.describe(&[topic])?.into_iter().flatten().next();
    Ok(found.map(|topic| topic.id))
}

/// The id of a topic that was made before.
///
/// # Errors
/// [`LogError::Retriable`] where it isn't there: the broker that was asked hasn't heard of it yet, or a reset has deleted it
/// and nobody has begun anew.
fn known_life(admin: &dyn Admin, topic: &str) -> Result<String, LogError> {
    let life = life(admin, topic)?;
    life.ok_or_else(|| LogError::Retriable(format!("topic {topic} isn't there, or not yet")))
}

impl Worker {
    /// Compares the topology with what is kept.
    ///
    /// # Errors
    /// [`WorkerError::Manifest`] with all differences when it doesn't fit and nobody accepted that;
    /// [`WorkerError::InReset`] where a reset was begun.
    pub(crate) fn agree(
        &self,
        admin: &dyn Admin,
        partitions: &BTreeMap<Arc<str>, u32>,
    ) -> Result<Agreed, WorkerError> {
        let application = self.topology.application_id();
        let manifest = self.topology.manifest(&|topic| partitions.get(topic).copied());
        let mut manifest = manifest.map_err(|source| WorkerError::Topology {
            application: application.to_owned(),
            source,
        })?;
        let topic = topic(application);
        ensure(admin, &topic, self.replication).map_err(|e| self.log_failed(e))?;
        let life = known_life(admin, &topic).map_err(|e| self.log_failed(e))?;
        let Kept { manifest: logged, in_reset } =
            read(self.log.as_ref(), admin, &topic).map_err(|e| self.log_failed(e))?;
        if in_reset {
            return Err(WorkerError::InReset { application: application.to_owned() });
        }
        let in_folder = self.state_dir.manifest().map_err(|e| self.state_failed(e))?;
        let mut kept = Vec::new();
        for (kept_in, text) in [("in the log", logged), ("in the state folder", in_folder)] {
            let old = text.map(|text| self.parse(kept_in, &text)).transpose()?;
            if let Some(old) = &old {
                self.compare(kept_in, old, &manifest)?;
            }
            kept.push(old);
        }
        for old in kept.iter().flatten() {
            manifest = manifest.after(old);
        }
        let is_kept =
            |place: usize| kept.get(place).is_some_and(|old| old.as_ref() == Some(&manifest));
        let (in_log, in_folder) = (is_kept(0), is_kept(1));
        Ok(Agreed { manifest, in_log, in_folder, life })
    }

    /// Whether the application is being reset, or was, since this worker agreed. Asked by a member: the group's offsets can't
    /// be forgotten while it is one, so what isn't announced by now begins only after it has left.
    pub(crate) fn is_reset(&self, admin: &dyn Admin) -> Result<bool, LogError> {
        let topic = topic(self.topology.application_id());
        let now = known_life(admin, &topic)?;
        // A broker that has just heard of the topic may not know its id.
        let is_another = ![&now, &self.life].contains(&&String::new()) && now != self.life;
        Ok(is_another || read(self.log.as_ref(), admin, &topic)?.in_reset)
    }

    fn parse(&self, kept_in: &'static str, text: &[u8]) -> Result<Manifest, WorkerError> {
        Manifest::from_json(&String::from_utf8_lossy(text)).map_err(|source| {
            let application = self.topology.application_id().to_owned();
            WorkerError::UnreadableManifest { application, kept_in, source }
        })
    }

    fn compare(
        &self,
        kept_in: &'static str,
        old: &Manifest,
        new: &Manifest,
    ) -> Result<(), WorkerError> {
        let application = self.topology.application_id();
        let comparison = Manifest::compare(old, new);
        let token = comparison.token();
        let accepted = self.settings.accepted_changes.contains(&token);
        match comparison.verdict {
            Verdict::Same => {}
            Verdict::Compatible => {
                tracing::info!(application, kept_in, "the topology has changed:\n{comparison}");
            }
            Verdict::NeedsMigration if accepted => {
                tracing::warn!(application, kept_in, "accepted:\n{comparison}");
            }
            verdict => {
                return Err(WorkerError::Manifest {
                    application: application.to_owned(),
                    kept_in,
                    verdict,
                    differences: comparison.to_string(),
                    token: (verdict == Verdict::NeedsMigration).then_some(token),
                });
            }
        }
        Ok(())
    }

    /// Keeps the manifest of this start.
    pub(crate) fn keep(
        &self,
        agreed: &Agreed,
        producer: &mut dyn TxnProducer,
        now: i64,
    ) -> Result<(), WorkerError> {
        let text = agreed.manifest.to_json();
        if !agreed.in_log {
            let topic = topic(self.topology.application_id());
            let written = write(producer, &topic, (KEY, Some(text.as_bytes())), now);
            written.map_err(|e| self.log_failed(e))?;
        }
        if !agreed.in_folder {
            let kept = self.state_dir.keep_manifest(text.as_bytes());
            kept.map_err(|e| self.state_failed(e))?;
        }
        Ok(())
    }
}

/// What the topic holds now.
pub(crate) fn read(log: &dyn Log, admin: &dyn Admin, topic: &str) -> Result<Kept, LogError> {
    let at = [TopicPartition::new(topic, 0)];
    let start = admin.start_offsets(&at)?.first().copied().unwrap_or(0);
    let end = admin.end_offsets(&at, Isolation::ReadCommitted)?.first().copied().unwrap_or(0);
    let mut kept = Kept::default();
    if start == end {
        return Ok(kept);
    }
    let mut reader = log.reader("manifest", Isolation::ReadCommitted, Visibility::Written)?;
    let [at] = at;
    reader.assign(&[(at.clone(), start)])?;
    for _ in 0..POLLS_MAX {
        reader.poll(Duration::from_millis(50), 100, &mut |record| match record.key {
            Some(KEY) => kept.manifest = record.value.map(<[u8]>::to_vec),
            Some(RESET) => kept.in_reset = record.value.is_some(),
            _ => {}
        })?;
        if reader.reached(&at, end) {
            return Ok(kept);
        }
    }
    Err(LogError::Retriable(format!("topic {topic} can't be read to its end ({end})")))
}

/// Says that a reset of the application is under way, or that it isn't: no worker starts meanwhile.
pub(crate) fn mark_reset(
    log: &dyn Log,
    application: &str,
    in_reset: bool,
    now: i64,
) -> Result<(), LogError> {
    let mut producer = log.txn_producer("orders-app", &format!("{application}-reset"))?;
    producer.init()?;
    let value = in_reset.then_some(&b"begun"[..]);
    write(producer.as_mut(), &topic(application), (RESET, value), now)
}

/// Writes a record in a transaction of its own.
fn write(
    producer: &mut dyn TxnProducer,
    topic: &str,
    (key, value): (&[u8], Option<&[u8]>),
    timestamp: i64,
) -> Result<(), LogError> {
    let record = NewRecord { key: Some(key), value, timestamp, headers: &[] };
    for _ in 0..ATTEMPTS_MAX {
        match attempt(producer, topic, record) {
            Err(LogError::Abort(_)) => producer.abort()?,
            done => return done,
        }
    }
    Err(LogError::Retriable(format!("topic {topic} took no record in {ATTEMPTS_MAX} transactions")))
}

fn attempt(
    producer: &mut dyn TxnProducer,
    topic: &str,
    record: NewRecord<'_>,
) -> Result<(), LogError> {
    producer.begin()?;
    producer.send(topic, 0, record)?;
    producer.flush()?;
    producer.commit()
}
