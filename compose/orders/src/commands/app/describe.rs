//! `orders app describe`: over Kafka from outside; of the embedded log's applications by asking the process that has it,
//! and if none runs, from its files.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use operators::Topology;
use runtime::PeerError;
use runtime::app::{
    AppDescription, InputDescription, MemberDescription, TaskDescription, describe,
};

use crate::config::Config;
use crate::insight::look;
use crate::output::say;
use crate::parts;
use crate::queries::Asker;
use crate::roles::workers::choose;
use crate::table::table;

/// The asked process may have to ask others.
const PATIENCE: Duration = Duration::from_secs(15);

/// Shows what the application is doing.
pub(crate) async fn run(
    config: &Config,
    application: &str,
    at: Option<String>,
    json: bool,
) -> Result<()> {
    let topology = choose(config, schemas::avro::Local::source(), application)?.topology;
    let description = describe_it(config, &topology, at).await?;
    if json {
        say!("{}", serde_json::to_string_pretty(&description)?);
        return Ok(());
    }
    print(&description)
}

async fn describe_it(
    config: &Config,
    topology: &Topology,
    at: Option<String>,
) -> Result<AppDescription> {
    let (asker, application) = (Asker::new(config)?, topology.application_id());
    if config.kafka.is_none() || at.is_some() {
        let address = at.clone().unwrap_or_else(|| config.admin_addr.to_string());
        match asker.get(&address, &format!("applications/{application}"), PATIENCE).await {
            Ok(description) => return Ok(description),
            Err(PeerError::Said(error)) => return Err(anyhow!("{address}: {error}")),
            Err(PeerError::Silent(reason)) if at.is_some() => {
                bail!("{address} can't be reached: {reason}")
            }
            // Nobody runs, so the log's files can be opened.
            Err(PeerError::Silent(_)) => {}
        }
    }
    tokio::task::block_in_place(|| {
        let log = parts::log(config, true)?;
        Ok(describe(&log, topology, &|place| look(&asker, application, place))?)
    })
}

fn print(description: &AppDescription) -> Result<()> {
    let AppDescription { application, group, state, in_reset, members, tasks } = description;
    say!(
        "{application}: group {group} is {state}, {} members, {} tasks",
        members.len(),
        tasks.len()
    );
    if *in_reset {
        say!(
            "a reset was begun and isn't finished: run `orders app reset {application} --execute`"
        );
    }
    let mut held = table();
    held.set_header(["member", "host", "admin endpoint", "phase", "tasks", "partitions"]);
    for member in members {
        held.add_row(row(member));
    }
    say!("\n{held}");
    let mut table = table();
    table.set_header([
        "task",
        "held by",
        "input",
        "committed",
        "end",
        "lag",
        "state",
        "what it does",
    ]);
    for task in tasks {
        let mut first = true;
        for input in &task.inputs {
            let (id, by, state, does) = match std::mem::take(&mut first) {
                true => (task.id.clone(), holder(task), size(task), doing(task)),
                false => Default::default(),
            };
            let InputDescription { topic, partition, committed, end, lag } = input;
            let number = |number: &Option<i64>| number.map(|it| it.to_string()).unwrap_or_default();
            let input = format!("{topic}[{partition}]");
            table.add_row([
                id,
                by,
                input,
                number(committed),
                number(end),
                number(lag),
                state,
                does,
            ]);
        }
    }
    say!("\n{table}");
    let total: i64 = tasks.iter().flat_map(|task| &task.inputs).filter_map(|it| it.lag).sum();
    say!("lag {total}");
    Ok(())
}

fn row(member: &MemberDescription) -> [String; 6] {
    let phase = match (&member.status, &member.silent) {
        (Some(status), _) => status.phase.to_string(),
        (None, Some(reason)) => format!("silent: {reason}"),
        (None, None) => "not known to its process".to_owned(),
    };
    let tasks = member.status.as_ref().map(|status| status.tasks.len().to_string());
    [
        format!("{}/{}", member.instance, member.thread),
        member.host.clone(),
        member.address.clone().unwrap_or_default(),
        phase,
        tasks.unwrap_or_default(),
        member.partitions.to_string(),
    ]
}

fn holder(task: &TaskDescription) -> String {
    let Some((instance, thread)) = &task.held_by else { return "nobody".to_owned() };
    format!("{instance}/{thread}")
}

fn size(task: &TaskDescription) -> String {
    if task.stores.is_empty() {
        return String::new();
    }
    let bytes: u64 = task.stores.iter().map(|store| store.bytes).sum();
    let rows: Option<u64> = task.stores.iter().map(|store| store.rows).sum();
    let rows = rows.map(|rows| format!(", {rows} rows")).unwrap_or_default();
    format!("{}{rows}", shown(bytes))
}

fn shown(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

fn doing(task: &TaskDescription) -> String {
    if let Some(reason) = &task.stopped {
        return format!("stands still: {reason}");
    }
    let Some(restoring) = &task.restoring else { return String::new() };
    let left = restoring.remaining_ms.map(|ms| format!(", {} s left", (ms + 999) / 1_000));
    let left = left.unwrap_or_default();
    format!("restores, {} of {} offsets{left}", restoring.read, restoring.total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::RestoringStatus;

    fn task(stopped: Option<&str>, restoring: Option<RestoringStatus>) -> TaskDescription {
        let (held_by, inputs, stores) = (None, Vec::new(), Vec::new());
        let stopped = stopped.map(str::to_owned);
        TaskDescription { id: "0_0".to_owned(), held_by, inputs, stores, restoring, stopped }
    }

    #[test]
    fn a_task_says_what_it_does_in_a_line() {
        assert_eq!(doing(&task(None, None)), "");
        assert_eq!(holder(&task(None, None)), "nobody");
        assert_eq!(doing(&task(Some("poison"), None)), "stands still: poison");
        let restoring = |remaining_ms| {
            Some(RestoringStatus { id: "0_0".to_owned(), read: 5, total: 10, remaining_ms })
        };
        assert_eq!(doing(&task(None, restoring(None))), "restores, 5 of 10 offsets");
        let soon = doing(&task(None, restoring(Some(1_200))));
        assert_eq!(soon, "restores, 5 of 10 offsets, 2 s left");
    }

    #[test]
    fn sizes_are_readable() {
        let all: Vec<String> = [0, 1_023, 1_536, 3 << 20, 5 << 30].map(shown).into();
        assert_eq!(all, ["0 B", "1023 B", "1.5 KiB", "3.0 MiB", "5.0 GiB"]);
    }
}
