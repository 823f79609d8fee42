//! `orders query`: what the stores of the applications hold.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use runtime::{Answer, PeerError, Row, Stale, StandbyLag, StoreListing, StoreQuery};
use schemas::Micros;
use serde_json::Value;

use super::{harmless, millis};
use crate::cli::QueryArgs;
use crate::config::Config;
use crate::output::say;
use crate::parts;
use crate::queries::Asker;
use crate::table::table;

/// Members that are asked one after the other while none says anything.
const ASKED_MAX: usize = 3;

/// Of a value in a table, in characters.
const SHOWN_MAX: usize = 120;

/// Lists the stores, or asks one.
pub(crate) async fn run(config: &Config, args: QueryArgs) -> Result<()> {
    let asker = Asker::new(config)?;
    let Some(store) = &args.store else {
        let address = args.at.clone().unwrap_or_else(|| config.admin_addr.to_string());
        let listed = asker.get::<Vec<StoreListing>>(&address, "stores", Duration::from_secs(5));
        return list(&listed.await.map_err(|error| failed(&address, error))?, args.json);
    };
    let Some((application, store)) = store.split_once('/') else {
        bail!("{store:?} names no store: expected APPLICATION/STORE; see `orders query --list`");
    };
    let addresses = match &args.at {
        Some(address) => vec![address.clone()],
        None => tokio::task::block_in_place(|| addresses_of(config, application))?,
    };
    let query = query(&args)?;
    let mut silent = None;
    for address in &addresses {
        match asker.ask(address, (application, store), &query).await {
            Ok(answer) => return show(&answer, args.json),
            // One that was killed is known until somebody else has taken over; any other may answer.
            Err(error @ PeerError::Silent(_)) => silent = Some(failed(address, error)),
            Err(error) => return Err(failed(address, error)),
        }
    }
    Err(silent.unwrap_or_else(|| anyhow!("{application} has no member that can be asked")))
}

fn failed(address: &str, error: PeerError) -> anyhow::Error {
    match error {
        PeerError::Said(error) => anyhow!("{error}"),
        PeerError::Silent(reason) => anyhow!(
            "{address} can't be reached: {reason}; `orders run` or `orders worker` must run, --at or ADMIN_ADDR say where"
        ),
    }
}

/// Where to ask: on Kafka any member of the application, which passes the query on to the owner; embedded there is one
/// process.
fn addresses_of(config: &Config, application: &str) -> Result<Vec<String>> {
    if config.kafka.is_none() {
        return Ok(vec![config.admin_addr.to_string()]);
    }
    let members = runtime::members(&parts::log(config, false)?, application)?;
    let mut addresses: Vec<String> = Vec::new();
    // The latest to come is the likeliest to be there.
    for member in members.iter().rev().filter(|member| !member.address.is_empty()) {
        if !addresses.contains(&member.address) && addresses.len() < ASKED_MAX {
            addresses.push(member.address.clone());
        }
    }
    if !addresses.is_empty() {
        return Ok(addresses);
    }
    if members.is_empty() {
        bail!(
            "no member of {application} is known; start `orders worker {application}`, or say where with --at"
        )
    }
    bail!(
        "the members of {application} tell no address: set ADMIN_ADVERTISED_ADDR for them, or say where with --at"
    )
}

fn query(args: &QueryArgs) -> Result<StoreQuery> {
    let (time_from, time_to) = match &args.window {
        None => (None, None),
        Some(window) => {
            let Some((from, to)) = window.split_once("..") else {
                bail!(
                    "--window {window:?} can't be read: expected FROM..TO, either may be missing"
                );
            };
            (time(from)?, time(to)?)
        }
    };
    Ok(StoreQuery {
        key: args.key.clone(),
        from: args.from.clone(),
        to: args.to.clone(),
        prefix: args.prefix.clone(),
        time_from,
        time_to,
        limit: args.limit,
        reverse: args.reverse,
        after: (!args.after.is_empty()).then(|| args.after.join(",")),
        wait_ms: args.wait_ms,
        stale: args.stale.as_deref().map(|stale| match stale {
            "prefer" => Stale::Prefer,
            _ => Stale::Allow,
        }),
        ..StoreQuery::default()
    })
}

/// Nothing: no bound.
fn time(text: &str) -> Result<Option<i64>> {
    if text.is_empty() { Ok(None) } else { millis(text).map(Some) }
}

fn list(listings: &[StoreListing], json: bool) -> Result<()> {
    if json {
        say!("{}", serde_json::to_string_pretty(listings)?);
        return Ok(());
    }
    let mut table = table();
    table.set_header(["store", "kind", "key", "value", "partitions", "here", "standbys here"]);
    for listing in listings {
        let here: Vec<String> = listing.here.keys().map(ToString::to_string).collect();
        let standbys: Vec<String> = listing.standbys.keys().map(ToString::to_string).collect();
        table.add_row([
            format!("{}/{}", listing.application, listing.store),
            listing.kind.clone(),
            listing.key.clone(),
            listing.value.clone(),
            listing.partitions.map_or_else(|| "starting".to_owned(), |count| count.to_string()),
            here.join(" "),
            standbys.join(" "),
        ]);
    }
    say!("{table}");
    Ok(())
}

fn show(answer: &Answer, json: bool) -> Result<()> {
    if json {
        say!("{}", serde_json::to_string_pretty(answer)?);
        return Ok(());
    }
    for from in &answer.from {
        if let Some(lag) = &from.standby {
            say!("{}", from_a_standby(&from.instance, &from.partitions, lag));
        }
    }
    if let [row] = answer.rows.as_slice()
        && !answer.more
    {
        return show_one(row);
    }
    let mut table = table();
    table.set_header(["key", "window", "time", "value"]);
    for row in &answer.rows {
        let value = plain(&row.value);
        let mut shown: String = value.chars().take(SHOWN_MAX).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        table.add_row([plain(&row.key), window(row), moment(row.timestamp_ms), shown]);
    }
    say!("{table}");
    if answer.more {
        say!("there are more; see --limit, --from and --reverse");
    }
    Ok(())
}

fn from_a_standby(instance: &str, partitions: &[u32], lag: &StandbyLag) -> String {
    let StandbyLag { offset_lag, behind_ms, .. } = lag;
    let which: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    let which = which.join(", ");
    format!(
        "partition {which} from a standby of instance {instance}: {offset_lag} offsets behind, as of {} ({behind_ms} ms ago)",
        moment(Some(lag.as_of_ms))
    )
}

fn show_one(row: &Row) -> Result<()> {
    say!("{:10} {}", "key", plain(&row.key));
    for (name, text) in [
        ("window", window(row)),
        ("time", moment(row.timestamp_ms)),
        ("deadline", moment(row.deadline_ms)),
    ] {
        if !text.is_empty() {
            say!("{name:10} {text}");
        }
    }
    say!("{:10} {}", "partition", row.partition);
    let lines = serde_json::to_string_pretty(&row.value)?;
    let lines: Vec<_> = lines.lines().map(harmless).collect();
    say!("{:10} {}", "value", lines.join("\n"));
    Ok(())
}

/// Text without quotes, anything else as JSON, without what could move a terminal's cursor.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.chars().any(char::is_control) => text.clone(),
        other => harmless(&other.to_string()),
    }
}

fn window(row: &Row) -> String {
    let Some(times) = row.window else { return String::new() };
    format!("{} – {}", moment(Some(times.start_ms)), moment(times.end_ms))
}

fn moment(ms: Option<i64>) -> String {
    ms.map(|ms| Micros::from_millis(ms).to_rfc3339()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_either_end_or_none() {
        assert_eq!(time("").unwrap(), None);
        assert_eq!(time("1000").unwrap(), Some(1_000));
        assert_eq!(time("1970-01-01T00:00:01.5Z").unwrap(), Some(1_500));
        assert!(time("noon").unwrap_err().to_string().contains("expected RFC 3339"));
    }

    #[test]
    fn how_old_a_standbys_rows_may_be_is_said() {
        let (current_offset, end_offset, offset_lag) = (7, 10, 3);
        let lag =
            StandbyLag { current_offset, end_offset, offset_lag, as_of_ms: 1_000, behind_ms: 250 };
        assert_eq!(
            from_a_standby("b", &[2], &lag),
            "partition 2 from a standby of instance b: 3 offsets behind, as of 1970-01-01T00:00:01.000000Z (250 ms ago)"
        );
    }

    #[test]
    fn nothing_in_a_row_moves_the_cursor() {
        assert_eq!(plain(&Value::from("größe")), "größe");
        assert_eq!(plain(&Value::from("\u{1b}[2J")), "\"\\u001b[2J\"");
        assert_eq!(plain(&serde_json::json!(["\u{9b}2J"])), "[\"\\u{9b}2J\"]", "JSON leaves it");
    }
}
