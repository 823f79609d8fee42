//! Progress of long work: a bar on a terminal, plain lines otherwise.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Counts towards a known total.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    plain: Option<Mutex<Instant>>,
    what: &'static str,
}

const EVERY: Duration = Duration::from_secs(2);

impl Progress {
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::new(total);
        let style =
            ProgressStyle::with_template("{prefix:>10} {bar:40} {pos}/{len} {per_sec} {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_prefix(what);
        let plain = if std::io::stderr().is_terminal() {
            None
        } else {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
            Some(Mutex::new(Instant::now()))
        };
        Self { bar, plain, what }
    }

    pub(crate) fn done(&self, more: u64) {
        self.bar.inc(more);
        self.line(false);
    }

    pub(crate) fn set(&self, position: u64) {
        self.bar.set_position(position);
        self.line(false);
    }

    pub(crate) fn finish(&self) {
        // Where it is: work that ends early isn't shown as done.
        self.bar.abandon();
        self.line(true);
    }

    fn line(&self, last: bool) {
        let Some(plain) = &self.plain else { return };
        let Ok(mut shown) = plain.lock() else { return };
        if last || shown.elapsed() >= EVERY {
            *shown = Instant::now();
            let (at, of) = (self.bar.position(), self.bar.length().unwrap_or(0));
            let (what, rate) = (self.what, self.bar.per_sec());
            // Before the first step there is no rate to tell the remaining time from.
            if at == 0 {
                eprintln!("{what}: {at}/{of}");
            } else {
                let left = self.bar.eta().as_secs();
                eprintln!("{what}: {at}/{of}, {rate:.0}/s, {left} s left");
            }
        }
    }
}
