//! `orders parked …`: keys whose records wait behind one that failed, until somebody lets them go.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use runtime::{LetGo, Parked, let_go, parked_keys};
use schemas::Micros;
use serde_json::{Value, json};
use topology::Application;

use super::{confirm, harmless, readable};
use crate::cli::{ParkedChoice, ParkedCommand};
use crate::config::Config;
use crate::output::say;
use crate::parts;
use crate::table::table;

/// A parked key of an application.
struct Found {
    application: &'static str,
    parked: Parked,
}

/// Lists parked keys, or lets some go.
pub(crate) fn run(config: &Config, command: ParkedCommand) -> Result<()> {
    let log = parts::log(config, true)?;
    let source = schemas::avro::Local::source();
    let applications = topology::applications(&parts::flow_settings(config), source)?;
    let mut all = Vec::new();
    for Application { id, topology, .. } in &applications {
        let parked = parked_keys(log.as_ref(), topology)?;
        all.extend(parked.into_iter().map(|parked| Found { application: id, parked }));
    }
    let (choice, how) = match command {
        ParkedCommand::List { application, json } => {
            all.retain(|it| application.as_ref().is_none_or(|wanted| wanted == it.application));
            return list(&all, json);
        }
        ParkedCommand::Release { choice } => (choice, LetGo::Release),
        ParkedCommand::Discard { choice } => (choice, LetGo::Discard),
    };
    let chosen = chosen(&all, &choice)?;
    let records: usize = chosen.iter().map(|it| it.parked.key.records).sum();
    let (what, done) = match how {
        LetGo::Release => ("go on, in order, up to the first that fails again", "released"),
        LetGo::Discard => ("are dropped for good", "discarded"),
    };
    confirm(&format!("{records} records of {} keys {what}", chosen.len()), choice.yes)?;
    let mut keys: BTreeMap<&str, Vec<(String, Vec<u8>)>> = BTreeMap::new();
    for it in &chosen {
        let key = (it.parked.parking.clone(), it.parked.key.key.clone());
        keys.entry(it.application).or_default().push(key);
    }
    for Application { id, topology, .. } in &applications {
        if let Some(keys) = keys.get(id) {
            let_go(log.as_ref(), topology, keys, how, parts::now_ms())?;
        }
    }
    say!("{done}: {}; the application does it when it comes to it", chosen.len());
    Ok(())
}

/// The keys that are meant, each once; each name must mean one.
fn chosen<'f>(all: &'f [Found], choice: &ParkedChoice) -> Result<Vec<&'f Found>> {
    let fits = |it: &&Found| {
        choice.application.as_ref().is_none_or(|wanted| wanted == it.application)
            && choice.parking.as_ref().is_none_or(|wanted| *wanted == it.parked.parking)
    };
    let fitting: Vec<&Found> = all.iter().filter(fits).collect();
    if choice.all {
        // Those that were let go already need nothing more.
        let waiting: Vec<_> = fitting.into_iter().filter(|it| !it.parked.commanded).collect();
        if waiting.is_empty() {
            bail!("no such key is parked");
        }
        return Ok(waiting);
    }
    let mut chosen: Vec<&Found> = Vec::new();
    for name in &choice.keys {
        let named = |it: &&&Found| readable(&it.parked.key.key) == *name;
        match fitting.iter().filter(named).collect::<Vec<_>>()[..] {
            [] => bail!("key {name} isn't parked; `orders parked list` shows those that are"),
            [one] if chosen.iter().any(|it| std::ptr::eq(*it, *one)) => {}
            [one] => chosen.push(*one),
            _ => bail!("key {name} is parked in several places: add --application or --parking"),
        }
    }
    Ok(chosen)
}

fn list(all: &[Found], json: bool) -> Result<()> {
    if json {
        let all: Vec<Value> = all.iter().map(about).collect();
        say!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    let mut table = table();
    table.set_header(["application", "parking", "key", "records", "since", "let go", "cause"]);
    for Found { application, parked } in all {
        table.add_row([
            (*application).to_owned(),
            parked.parking.clone(),
            readable(&parked.key.key),
            parked.key.records.to_string(),
            Micros::from_millis(parked.key.since_ms).to_rfc3339(),
            if parked.commanded { "on its way" } else { "" }.to_owned(),
            harmless(&parked.key.cause.chars().take(80).collect::<String>()),
        ]);
    }
    say!("{table}");
    Ok(())
}

fn about(Found { application, parked }: &Found) -> Value {
    json!({
        "application": application,
        "parking": parked.parking,
        "partition": parked.partition,
        "key": readable(&parked.key.key),
        "records": parked.key.records,
        "since": Micros::from_millis(parked.key.since_ms).to_rfc3339(),
        "let_go": parked.commanded,
        "cause": parked.key.cause,
    })
}

#[cfg(test)]
mod tests {
    use operators::ParkedKey;

    use super::*;

    fn found(application: &'static str, key: &str, commanded: bool) -> Found {
        let (key, cause) = (key.as_bytes().to_vec(), String::new());
        let key = ParkedKey { key, cause, records: 1, since_ms: 0 };
        let parked = Parked { parking: "stuck".to_owned(), partition: 0, key, commanded };
        Found { application, parked }
    }

    fn choice(keys: &[&str], application: Option<&str>) -> ParkedChoice {
        ParkedChoice {
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            all: keys.is_empty(),
            application: application.map(str::to_owned),
            parking: None,
            yes: true,
        }
    }

    #[test]
    fn a_name_means_one_key_and_all_those_that_still_wait() {
        let all = [found("a", "k", false), found("b", "k", false), found("b", "\u{1}", true)];
        let keys = |choice| {
            let chosen = chosen(&all, &choice).map_err(|error| error.to_string())?;
            let name = |it: &&Found| (it.application, readable(&it.parked.key.key));
            Ok::<_, String>(chosen.iter().map(name).collect::<Vec<_>>())
        };
        let k = |application| (application, "k".to_owned());
        assert_eq!(keys(choice(&["k"], Some("b"))), Ok(vec![k("b")]));
        assert_eq!(keys(choice(&["k", "k"], Some("b"))), Ok(vec![k("b")]), "named twice");
        assert_eq!(keys(choice(&["0x01"], None)), Ok(vec![("b", "0x01".to_owned())]));
        assert_eq!(keys(choice(&[], None)), Ok(vec![k("a"), k("b")]));
        assert!(keys(choice(&["k"], None)).unwrap_err().contains("--application"));
        assert!(keys(choice(&["x"], None)).unwrap_err().contains("orders parked list"));
        assert!(keys(choice(&[], Some("c"))).unwrap_err().contains("no such key"));
    }
}
