//! CPU seconds and memory of the system's processes, from `/proc`.
//!
//! Invariants: a process named `orders` counts, unless this program started it
//! (the command that makes the load); what a process used counts also when it is
//! killed or started while we watch, but for the last [`PAUSE`] of a killed one.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, ExitCode};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use load_tests::process::{Stat, peak_mib};
use serde_json::json;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Number and start time: numbers come again.
type Process = (u32, u64);

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    cpu_before: f64,
    cpu: f64,
    peak_mib: f64,
}

/// What all `orders` processes used while they were watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) cpu_seconds: f64,
    /// Sum of each one's own peak, of those that were still there at the end.
    pub(crate) peak_mib: f64,
    /// How many were seen.
    pub(crate) processes: usize,
}

/// Looks at the processes until it is asked.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: mpsc::Sender<()>,
    looking: JoinHandle<Used>,
}

impl Watch {
    /// Begins; what was used before doesn't count.
    pub(crate) fn start() -> Self {
        let (stop, stopped) = mpsc::channel();
        let mut seen: BTreeMap<Process, Use> = BTreeMap::new();
        for (process, used) in orders_processes() {
            seen.insert(process, Use { cpu_before: used.cpu, ..used });
        }
        let looking = thread::spawn(move || {
            loop {
                let more = stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout);
                let now = orders_processes();
                for (process, used) in &now {
                    let known = seen.entry(*process).or_default();
                    *known = Use { cpu_before: known.cpu_before, ..*used };
                }
                if !more {
                    return Used {
                        cpu_seconds: seen.values().map(|used| used.cpu - used.cpu_before).sum(),
                        peak_mib: now.values().map(|used| used.peak_mib).sum(),
                        processes: seen.len(),
                    };
                }
            }
        });
        Self { stop, looking }
    }

    /// What was used since the start.
    pub(crate) fn stop(self) -> Result<Used> {
        drop(self.stop);
        self.looking.join().map_err(|_| anyhow!("the thread that watches processes has failed"))
    }
}

fn orders_processes() -> BTreeMap<Process, Use> {
    let all: BTreeMap<u32, Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, Stat::of(pid)?)))
        .collect();
    all.iter()
        .filter(|(pid, stat)| stat.name == "orders" && !is_ours(&all, **pid))
        .map(|(pid, stat)| {
            let used = Use { cpu: stat.cpu(), peak_mib: peak_mib(*pid), ..Use::default() };
            ((*pid, stat.started), used)
        })
        .collect()
}

/// Did this program start it?
fn is_ours(all: &BTreeMap<u32, Stat>, mut pid: u32) -> bool {
    while let Some(stat) = all.get(&pid) {
        if stat.parent == std::process::id() {
            return true;
        }
        pid = stat.parent;
    }
    false
}

/// Runs a command, prints what the system used meanwhile, ends as the command did.
pub(crate) fn run(command: &[String]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("a command")?;
    let (watch, start) = (Watch::start(), Instant::now());
    let status = Command::new(program).args(arguments).status().with_context(|| program.clone())?;
    let seconds = start.elapsed().as_secs_f64();
    let used = watch.stop()?;
    let figures = json!({
        "command": command.join(" "),
        "exit": status.code(),
        "seconds": seconds,
        "cpu_seconds": used.cpu_seconds,
        "processes": used.processes,
        "peak_mib": used.peak_mib,
    });
    println!("{figures:#}");
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A busy process of that name whose parent is gone; it ends by itself after 60 s of CPU.
    fn busy_orders(folder: &std::path::Path) -> u32 {
        let name = folder.join("orders");
        std::os::unix::fs::symlink("/bin/sh", &name).unwrap();
        let script = format!(
            "'{}' -c 'ulimit -t 60; while :; do :; done' >/dev/null 2>&1 & echo $!",
            name.display()
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    fn cpu(pid: u32) -> f64 {
        Stat::of(pid).unwrap().cpu()
    }

    #[test]
    fn what_a_killed_process_used_counts() {
        let folder = tempfile::tempdir().unwrap();
        let watch = Watch::start();
        let pid = busy_orders(folder.path());
        while cpu(pid) < 0.5 {
            thread::yield_now();
        }
        let killed = Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status().unwrap();
        assert!(killed.success());
        let used = watch.stop().unwrap();
        assert!(used.processes >= 1 && used.cpu_seconds >= 0.3, "{used:?}");
    }

    #[test]
    fn the_commands_own_processes_do_not_count_and_its_code_is_ours() {
        let own = std::process::id();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let all: BTreeMap<u32, Stat> =
            [own, child.id()].into_iter().map(|pid| (pid, Stat::of(pid).unwrap())).collect();
        assert!(is_ours(&all, child.id()) && !is_ours(&all, own));
        child.kill().unwrap();
        child.wait().unwrap();
        let code = run(&["sh".to_owned(), "-c".to_owned(), "exit 7".to_owned()]).unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(7)));
    }
}
