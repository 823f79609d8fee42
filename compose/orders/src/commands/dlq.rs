//! `orders dlq …`: records that couldn't be processed.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use runtime::{DeadLetter, LetterId, Settle, dead_letters, settle_dead_letters};
use schemas::Micros;
use serde_json::{Value, json};

use super::{confirm, harmless, readable};
use crate::cli::{DlqChoice, DlqCommand};
use crate::config::Config;
use crate::output::say;
use crate::parts;
use crate::table::table;

/// Of a value in `show`, in bytes.
const SHOWN_MAX: usize = 4_096;

/// Lists, shows or settles dead letters.
pub(crate) fn run(config: &Config, command: DlqCommand) -> Result<()> {
    let log = parts::log(config, true)?;
    let log = log.as_ref();
    match command {
        DlqCommand::List { application, topic, limit, json } => {
            let mut letters = dead_letters(log)?;
            letters.retain(|letter| {
                application.as_ref().is_none_or(|wanted| *wanted == letter.application)
                    && topic.as_ref().is_none_or(|wanted| *wanted == letter.topic)
            });
            letters.sort_by_key(|letter| letter.buried_ms);
            list(&letters, limit, json)
        }
        DlqCommand::Show { id, json } => {
            let letters = dead_letters(log)?;
            let Some(letter) = letters.iter().find(|letter| letter.id == id) else {
                bail!("no dead letter {id}, or it is settled already");
            };
            show(letter, json)
        }
        DlqCommand::Replay { choice } => {
            let ids = chosen(&choice, || Ok(dead_letters(log)?))?;
            let what = format!(
                "{} go to the end of the topics they came from, for every reader of those",
                records(ids.len())
            );
            confirm(&what, choice.yes)?;
            settle_dead_letters(log, &ids, Settle::Replay, parts::now_ms())?;
            say!("replayed: {}", ids.len());
            Ok(())
        }
        DlqCommand::Discard { choice } => {
            let ids = chosen(&choice, || Ok(dead_letters(log)?))?;
            confirm(&format!("{} are put away for good", records(ids.len())), choice.yes)?;
            settle_dead_letters(log, &ids, Settle::Discard, parts::now_ms())?;
            say!("discarded: {}", ids.len());
            Ok(())
        }
    }
}

fn records(count: usize) -> String {
    format!("{count} record{}", if count == 1 { "" } else { "s" })
}

fn chosen(
    choice: &DlqChoice,
    all: impl FnOnce() -> Result<Vec<DeadLetter>>,
) -> Result<BTreeSet<LetterId>> {
    if !choice.all {
        return Ok(choice.ids.iter().copied().collect());
    }
    let ids: BTreeSet<LetterId> = all()?
        .into_iter()
        .filter(|letter| choice.application.as_ref().is_none_or(|it| *it == letter.application))
        .filter(|letter| choice.topic.as_ref().is_none_or(|it| *it == letter.topic))
        .map(|letter| letter.id)
        .collect();
    if ids.is_empty() {
        bail!("there are no such dead letters");
    }
    Ok(ids)
}

fn list(letters: &[DeadLetter], limit: usize, json: bool) -> Result<()> {
    // The newest, if there are more.
    let shown = &letters[letters.len().saturating_sub(limit)..];
    if json {
        let all: Vec<Value> = shown.iter().map(about).collect();
        say!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    let mut table = table();
    table.set_header(["id", "when", "application", "from", "node", "cause"]);
    for letter in shown {
        table.add_row([
            letter.id.to_string(),
            Micros::from_millis(letter.buried_ms).to_rfc3339(),
            letter.application.clone(),
            place(letter),
            letter.node.clone(),
            harmless(&letter.message.chars().take(80).collect::<String>()),
        ]);
    }
    say!("{table}");
    if shown.len() < letters.len() {
        say!("{} older ones are not shown; see --limit", letters.len() - shown.len());
    }
    Ok(())
}

fn place(letter: &DeadLetter) -> String {
    match letter.partition.zip(letter.offset) {
        Some((partition, offset)) => format!("{}[{partition}]@{offset}", letter.topic),
        None => format!("output for {}", letter.topic),
    }
}

fn about(letter: &DeadLetter) -> Value {
    json!({
        "id": letter.id.to_string(),
        "buried_at": Micros::from_millis(letter.buried_ms).to_rfc3339(),
        "application": letter.application,
        "node": letter.node,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp_ms": letter.timestamp,
        "exception": letter.exception,
        "message": letter.message,
        "key": letter.key.as_deref().map(readable),
        "value_bytes": letter.value.as_ref().map(Vec::len),
    })
}

fn show(letter: &DeadLetter, json: bool) -> Result<()> {
    if json {
        let mut about = about(letter);
        about["value_hex"] = letter.value.as_ref().map(hex::encode).into();
        let headers = letter.headers.iter().map(|(name, value)| json!([name, readable(value)]));
        about["headers"] = headers.collect();
        say!("{}", serde_json::to_string_pretty(&about)?);
        return Ok(());
    }
    let Value::Object(fields) = about(letter) else { return Ok(()) };
    for (name, value) in fields {
        say!("{name:14} {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    for (name, value) in &letter.headers {
        say!("{:14} {name} = {}", "header", readable(value));
    }
    if let Some(value) = &letter.value {
        let part = &value[..value.len().min(SHOWN_MAX)];
        say!("{:14} {}", "value", readable(part));
        if part.len() < value.len() {
            say!("{:14} {} more bytes; --json has all of it", "", value.len() - part.len());
        }
    }
    Ok(())
}
