//! What a process used, from Linux' `/proc`: CPU in steps of 10 ms, peak memory.

use std::fs;
use std::time::Instant;

/// Clock ticks per second.
const TICKS: f64 = 100.0;

/// A line of `/proc/<pid>/stat`.
#[derive(Clone, Debug)]
pub struct Stat {
    /// The program's name, at most 15 characters.
    pub name: String,
    /// Number of the process that started it.
    pub parent: u32,
    /// When it was started, in ticks since the machine was. Numbers of processes come again, these don't.
    pub started: u64,
    /// Seconds of CPU as the program itself, all threads.
    pub user: f64,
    /// Seconds of CPU in the kernel, all threads.
    pub system: f64,
}

impl Stat {
    /// Of a process that runs; none of one that is gone.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, fields) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
        Some(Self {
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
            user: ticks(11)? / TICKS,
            system: ticks(12)? / TICKS,
        })
    }

    /// Seconds of CPU, both kinds.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// The most memory a process has held so far, in MiB; 0 of one that is gone.
#[must_use]
pub fn peak_mib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    mib_of(&status, "VmHWM:")
}

/// Memory of a process at this moment, in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Resident {
    /// Its own: heap, stacks.
    pub anonymous: f64,
    /// Of files that it has mapped, such as its code: shared with others, and the kernel's to take back.
    pub file: f64,
}

impl Resident {
    /// Of a process; nothing of one that is gone.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        Self { anonymous: mib_of(&status, "RssAnon:"), file: mib_of(&status, "RssFile:") }
    }
}

/// A field of `/proc/<pid>/status` in MiB; 0 where it is missing.
fn mib_of(status: &str, field: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|text| text.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

/// Tasks that wanted a CPU, averaged over the last minute.
#[must_use]
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

/// A moment of this process.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    /// When.
    pub at: Instant,
    /// Seconds of CPU so far as the program itself.
    pub user: f64,
    /// Seconds of CPU so far in the kernel.
    pub system: f64,
}

impl Snapshot {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let stat = Stat::of(std::process::id());
        let (user, system) = stat.map_or((0.0, 0.0), |stat| (stat.user, stat.system));
        Self { at: Instant::now(), user, system }
    }

    /// Seconds of CPU so far.
    #[must_use]
    pub fn cpu(&self) -> f64 {
        self.user + self.system
    }

    /// Wall seconds since an earlier moment.
    #[must_use]
    pub fn seconds_since(&self, earlier: &Self) -> f64 {
        self.at.saturating_duration_since(earlier.at).as_secs_f64()
    }
}
