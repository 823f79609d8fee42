//! What a real run leaves open, decided by one seed: in which order tasks run, how much is fetched, when is committed
//! and written back, and where the application dies.
//!
//! Invariant: the same seed and the same calls give the same run.

/// What may go wrong in one run to quiet, so that it ends.
const TROUBLES: u32 = 8;
/// A step in so many is followed by a commit, a write-back or trouble.
const QUIET_STEPS: usize = 4;
/// Records fetched at a time, at most.
const FETCH: usize = 4;

/// What happens between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Nothing,
    CommitAll,
    /// One task commits, as if it had a thread of its own.
    CommitOne,
    WriteBack,
    Abort,
    /// The application dies with its transaction open.
    Crash,
    /// It dies when the log has committed, before the state heard of it.
    CrashInCommit,
}

pub(super) struct Chaos {
    pub(super) seed: u64,
    dice: u64,
    troubles: u32,
}

impl Chaos {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, dice: seed, troubles: 0 }
    }

    /// SplitMix64: one of 0..`bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    pub(super) fn fetch(&mut self) -> usize {
        1 + self.below(FETCH)
    }

    /// A run to quiet begins.
    pub(super) fn begin(&mut self) {
        self.troubles = TROUBLES;
    }

    pub(super) fn event(&mut self) -> Event {
        if self.below(QUIET_STEPS) != 0 {
            return Event::Nothing;
        }
        match self.below(8) {
            0 | 1 => Event::CommitAll,
            2 | 3 => Event::CommitOne,
            4 => Event::WriteBack,
            5 => self.trouble(Event::Abort),
            6 => self.trouble(Event::Crash),
            _ => self.trouble(Event::CrashInCommit),
        }
    }

    /// Whether the application dies here too, while it restores.
    pub(super) fn dies(&mut self) -> bool {
        self.troubles > 0 && self.below(4) == 0 && self.trouble(Event::Crash) == Event::Crash
    }

    pub(super) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn trouble(&mut self, event: Event) -> Event {
        if self.troubles == 0 {
            return Event::Nothing;
        }
        self.troubles -= 1;
        event
    }

    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.seed;
            eprintln!(
                "the test driver ran with seed {seed}: DriverOptions::seeded({seed}) repeats it"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(seed: u64, begun: bool) -> Vec<Event> {
        let mut chaos = Chaos::new(seed);
        if begun {
            chaos.begin();
        }
        (0..400).map(|_| chaos.event()).collect()
    }

    #[test]
    fn a_seed_is_one_run_and_another_seed_another() {
        assert_eq!(events(7, true), events(7, true));
        assert_ne!(events(7, true), events(8, true));
    }

    #[test]
    fn all_kinds_of_trouble_come_and_end() {
        let trouble = [Event::Abort, Event::Crash, Event::CrashInCommit];
        let seen = (0..10).flat_map(|seed| events(seed, true)).collect::<Vec<_>>();
        for event in [Event::CommitAll, Event::CommitOne, Event::WriteBack].iter().chain(&trouble) {
            assert!(seen.contains(event), "{event:?}");
        }
        let of_one = events(3, true).into_iter().filter(|event| trouble.contains(event));
        assert_eq!(of_one.count(), TROUBLES as usize);
        assert!(
            !events(3, false).iter().any(|event| trouble.contains(event)),
            "before a run begins"
        );
    }
}
