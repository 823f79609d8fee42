//! What a stretch of work cost this process: wall time, CPU time of all its threads, allocations.
//!
//! On a machine that does other work only CPU time and counts can be compared.

#![expect(unsafe_code, reason = "neither the counting allocator nor getrusage can be had without")]

#[path = "counting.rs"]
mod counting;

use std::mem::MaybeUninit;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use counting::allocations;

/// CPU time of all threads so far, user and kernel.
fn cpu() -> Duration {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // Fails only for arguments that aren't these.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let time = |of: libc::timeval| {
        Duration::from_secs(of.tv_sec.cast_unsigned())
            + Duration::from_micros(of.tv_usec.cast_unsigned())
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) allocations: u64,
}

impl Cost {
    /// What `work` costs.
    pub(crate) fn of(work: impl FnOnce()) -> Self {
        let (wall, cpu_before, allocated) = (Instant::now(), cpu(), allocations());
        work();
        Self {
            allocations: allocations() - allocated,
            cpu: cpu() - cpu_before,
            wall: wall.elapsed(),
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
        self.allocations += other.allocations;
    }
}
