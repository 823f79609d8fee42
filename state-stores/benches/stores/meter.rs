//! What a stretch of work cost this process: wall time, CPU time of all its threads, allocations.
//!
//! On a machine that does other work only CPU time and counts can be compared.

#![expect(
    unsafe_code,
    reason = "neither a counting global allocator nor getrusage can be had without; both only hand on"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::mem::MaybeUninit;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counting.
struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

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
        let (wall, before, allocations) =
            (Instant::now(), cpu(), ALLOCATIONS.load(Ordering::Relaxed));
        work();
        Self {
            allocations: ALLOCATIONS.load(Ordering::Relaxed) - allocations,
            cpu: cpu() - before,
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
