//! `orders app reset`: shows what beginning anew would change, and does it.
//!
//! The state folder of this machine goes before the last step, after which workers may start; those of other machines
//! know by the new manifest that what they hold is of before ([`runtime::incarnation`]).

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use runtime::app::{InputReset, Reset, ResetStep, StartAt};
use serde_json::json;

use crate::cli::ResetArgs;
use crate::commands::millis;
use crate::config::Config;
use crate::data_dir;
use crate::output::say;
use crate::parts;
use crate::roles::workers::choose;
use crate::table::table;

/// Shows the plan, or does it.
pub(crate) fn run(config: &Config, args: &ResetArgs) -> Result<()> {
    let application = choose(config, schemas::avro::Local::source(), &args.application)?;
    let start_at = start_at(args)?;
    // Also that of a process that has started and isn't in the group yet.
    data_dir::claim(&config.data_dir, application.id)
        .with_context(|| format!("{} may be running", application.id))?;
    let log = parts::log(config, true)?;
    let reset = Reset::plan(&log, &application.topology, start_at)?;
    let folder = parts::state_folder_of(config, application.id);
    let folder = folder.is_dir().then_some(folder);
    let is_done = reset.is_done() && folder.is_none();
    if args.json {
        say!("{}", serde_json::to_string_pretty(&as_json(&reset, &folder, args.execute))?);
    } else {
        print(&reset, &folder)?;
    }
    if is_done || !args.execute {
        if !args.json {
            say!(
                "{}",
                if is_done { "nothing to do" } else { "nothing was changed; add --execute" }
            );
        }
        return Ok(());
    }
    for step in ResetStep::ALL {
        if let (ResetStep::Finish, Some(folder)) = (step, &folder) {
            fs::remove_dir_all(folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        reset
            .run(&log, step, parts::now_ms())
            .with_context(|| format!("{} isn't reset; run the same again", application.id))?;
    }
    if !args.json {
        say!("done: {} begins anew at its next start", application.id);
    }
    Ok(())
}

fn start_at(args: &ResetArgs) -> Result<StartAt> {
    Ok(match (&args.to_datetime, args.to_earliest, args.to_latest) {
        (Some(time), ..) => {
            let time = millis(time).context("--to-datetime")?;
            if time < 0 {
                bail!("--to-datetime: no record is from before 1970");
            }
            StartAt::Time(time)
        }
        (None, true, _) => StartAt::Earliest,
        (None, false, true) => StartAt::Latest,
        (None, false, false) => StartAt::FirstDay,
    })
}

fn print(reset: &Reset, folder: &Option<PathBuf>) -> Result<()> {
    let Reset { application, group, begun, inputs, topics, outputs } = reset;
    if *begun {
        say!("a reset of {application} was begun before and goes on");
    }
    let mut offsets = table();
    offsets.set_header(["input", "committed", "new"]);
    for InputReset { at, committed, then } in inputs {
        let committed = committed.map(|it| it.to_string()).unwrap_or_default();
        let then = then.map_or_else(|| "forgotten".to_owned(), |it| it.to_string());
        offsets.add_row([at.to_string(), committed, then]);
    }
    say!("offsets of {group}:\n{offsets}\n");
    let mut deleted = table();
    deleted.set_header(["topic to delete", "offsets in it"]);
    for topic in topics {
        deleted.add_row([topic.name.clone(), topic.records.to_string()]);
    }
    say!("{deleted}\n");
    match folder {
        Some(folder) => say!("state to remove here: {}", folder.display()),
        None => say!("no state of it here"),
    }
    say!("state on other machines is emptied when they start again");
    if !outputs.is_empty() {
        say!("stays, and is written again: {}", outputs.join(", "));
    }
    Ok(())
}

fn as_json(reset: &Reset, folder: &Option<PathBuf>, executed: bool) -> serde_json::Value {
    let input = |input: &InputReset| {
        json!({
            "topic": *input.at.topic, "partition": input.at.partition,
            "committed": input.committed, "new": input.then,
        })
    };
    let topics = reset.topics.iter();
    json!({
        "application": reset.application,
        "group": reset.group,
        "continues": reset.begun,
        "inputs": reset.inputs.iter().map(input).collect::<Vec<_>>(),
        "delete": topics.map(|it| json!({"topic": it.name, "offsets": it.records})).collect::<Vec<_>>(),
        "state_folder": folder,
        "outputs": reset.outputs,
        "executed": executed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(to_earliest: bool, to_latest: bool, to_datetime: Option<&str>) -> ResetArgs {
        let (application, to_datetime) = ("order-feed".to_owned(), to_datetime.map(str::to_owned));
        let (execute, json) = (false, false);
        ResetArgs { application, to_earliest, to_latest, to_datetime, execute, json }
    }

    #[test]
    fn one_place_to_begin_is_meant() {
        let of = |args: &ResetArgs| start_at(args).map_err(|error| format!("{error:#}"));
        assert_eq!(of(&args(false, false, None)), Ok(StartAt::FirstDay));
        assert_eq!(of(&args(true, false, None)), Ok(StartAt::Earliest));
        assert_eq!(of(&args(false, true, None)), Ok(StartAt::Latest));
        let time = args(false, false, Some("1970-01-01T00:00:01Z"));
        assert_eq!(of(&time), Ok(StartAt::Time(1_000)));
        assert!(of(&args(false, false, Some("noon"))).unwrap_err().contains("--to-datetime"));
        assert!(of(&args(false, false, Some("-1"))).unwrap_err().contains("1970"));
    }
}
