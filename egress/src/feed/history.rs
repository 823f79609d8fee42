//! The newest events of all users, within a budget of bytes.
//!
//! Invariant: what is held of one user is a run without holes that ends with
//! the user's newest event; the oldest events of all go first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use schemas::UserId;

use super::event::FeedEvent;

/// What was sent lately.
#[derive(Debug)]
pub(super) struct History {
    budget: usize,
    bytes: usize,
    order: VecDeque<UserId>,
    users: HashMap<UserId, VecDeque<Arc<FeedEvent>>>,
}

/// What an event was to the run of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// Held already (read twice): nothing changed.
    Known,
    /// It follows on what is held, or is the first that is.
    Next,
    /// It doesn't follow (the log lost events): what was held is gone.
    AfterHole,
}

impl History {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, bytes: 0, order: VecDeque::new(), users: HashMap::new() }
    }

    pub(super) fn push(&mut self, event: &Arc<FeedEvent>) -> Pushed {
        let run = self.users.entry(event.user_id).or_default();
        let mut pushed = Pushed::Next;
        if let Some(last) = run.back().map(|last| last.number) {
            if event.number <= last {
                return Pushed::Known;
            }
            if event.number != last + 1 {
                pushed = Pushed::AfterHole;
                self.bytes -= run.iter().map(|old| old.size()).sum::<usize>();
                let lost = run.len();
                run.clear();
                let mut skip = lost;
                self.order.retain(|user| {
                    let drop = skip > 0 && *user == event.user_id;
                    skip -= usize::from(drop);
                    !drop
                });
            }
        }
        run.push_back(Arc::clone(event));
        self.order.push_back(event.user_id);
        self.bytes += event.size();
        while self.bytes > self.budget && self.order.len() > 1 {
            self.drop_oldest();
        }
        pushed
    }

    fn drop_oldest(&mut self) {
        let Some(user) = self.order.pop_front() else { return };
        let Some(run) = self.users.get_mut(&user) else { return };
        if let Some(event) = run.pop_front() {
            self.bytes -= event.size();
        }
        if run.is_empty() {
            self.users.remove(&user);
        }
    }

    /// The run of a user, oldest first.
    pub(super) fn of(&self, user: UserId) -> impl Iterator<Item = &Arc<FeedEvent>> {
        self.users.get(&user).into_iter().flatten()
    }

    /// The run of a user from the event with this number on; none where that
    /// event is not held (any more).
    pub(super) fn since(
        &self,
        user: UserId,
        number: i64,
    ) -> Option<impl Iterator<Item = &Arc<FeedEvent>>> {
        let run = self.users.get(&user)?;
        let skip = usize::try_from(number - run.front()?.number).ok()?;
        (skip < run.len()).then(|| run.range(skip..))
    }
}
