//! CPU seconds of the system's processes, from `/proc`.
//!
//! Invariant: only processes named `orders` that ran before and after count, so
//! the command that makes the load doesn't.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;

/// Clock ticks per second of Linux' `/proc`.
const TICKS: f64 = 100.0;

/// CPU seconds by process id.
pub(crate) fn of_orders() -> Result<BTreeMap<u32, f64>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((head, fields)) = stat.rsplit_once(')') else { continue };
        if !head.ends_with("(orders") {
            continue;
        }
        let ticks = |place: usize| {
            fields.split_whitespace().nth(place).and_then(|text| text.parse::<f64>().ok())
        };
        if let (Some(user), Some(system)) = (ticks(11), ticks(12)) {
            found.insert(pid, (user + system) / TICKS);
        }
    }
    Ok(found)
}

/// Seconds spent between two looks by processes that are in both.
pub(crate) fn between(before: &BTreeMap<u32, f64>, after: &BTreeMap<u32, f64>) -> f64 {
    before.iter().filter_map(|(pid, start)| after.get(pid).map(|end| end - start)).sum()
}

/// Peak resident memory of all, MiB.
pub(crate) fn peak_mib() -> Result<f64> {
    let mut sum = 0.0;
    for pid in of_orders()?.keys() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
        sum +=
            line.split_whitespace().next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)
                / 1024.0;
    }
    Ok(sum)
}

/// Runs a command and prints what the system spent meanwhile.
pub(crate) fn run(command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("a command")?;
    let (before, start) = (of_orders()?, Instant::now());
    let status = Command::new(program).args(arguments).status().with_context(|| program.clone())?;
    let after = of_orders()?;
    let figures = json!({
        "command": command.join(" "),
        "exit": status.code(),
        "seconds": start.elapsed().as_secs_f64(),
        "cpu_seconds": between(&before, &after),
        "processes": before.len(),
        "peak_mib": peak_mib()?,
    });
    println!("{figures:#}");
    Ok(())
}
