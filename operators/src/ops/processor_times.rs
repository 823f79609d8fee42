//! What wakes a processor beside records, and the stores these times are kept in.

use super::processor::ProcessorNode;
use super::processor_stores::{Def, StoreDef};
use crate::graph::StoreDecl;
use crate::process::Shared;
use crate::punctuation::{Punctuation, PunctuationType, WallClock, time_store, wall_clock_store};
use crate::timers::Timers;

/// Stores of a processor's times: durable timers, stream time and its schedules, schedules of the wall clock.
#[derive(Clone)]
pub(super) struct Times {
    pub(super) timers: Option<StoreDecl>,
    stream_time: Option<StoreDecl>,
    wall_clock: Option<StoreDecl>,
    schedules: Vec<Punctuation>,
}

impl Times {
    pub(super) fn of(name: &str, stores: &[StoreDef]) -> Self {
        let any = |is: fn(&Def) -> bool| stores.iter().any(|store| is(&store.0));
        let mut schedules: Vec<Punctuation> = Vec::new();
        for store in stores {
            if let Def::Punctuate(schedule) = store.0
                && !schedules.contains(&schedule)
            {
                schedules.push(schedule);
            }
        }
        let follows = |kind| schedules.iter().any(|schedule| schedule.kind == kind);
        let keeps_time = any(|store| matches!(store, Def::StreamTime));
        Self {
            timers: any(|store| matches!(store, Def::Timers)).then(|| Timers::declare(name)),
            stream_time: (keeps_time || follows(PunctuationType::StreamTime))
                .then(|| time_store(name)),
            wall_clock: follows(PunctuationType::WallClockTime).then(|| wall_clock_store(name)),
            schedules,
        }
    }

    pub(super) fn stores(&self) -> impl Iterator<Item = &StoreDecl> {
        [&self.timers, &self.stream_time, &self.wall_clock].into_iter().flatten()
    }

    /// Hands in a node with what wakes it.
    pub(super) fn install<K, V, KO, VO>(
        &self,
        assembly: &mut crate::assembly::Assembly<'_>,
        node: ProcessorNode<K, V, KO, VO>,
    ) where
        K: ?Sized + 'static,
        V: ?Sized + 'static,
        KO: ?Sized + 'static,
        VO: ?Sized + 'static,
    {
        let (id, timers, node) = (node.id, node.timers, Shared::new(node));
        if let Some(store) = timers {
            assembly.timers.push((store, Box::new(node.clone())));
        }
        let of = |kind| self.schedules.iter().filter(move |schedule| schedule.kind == kind);
        if let Some(store) = self.stream_time.as_ref().map(|store| assembly.store(&store.name)) {
            assembly.punctuators.keep_time(store);
            for schedule in of(PunctuationType::StreamTime) {
                let handler = Box::new(node.clone());
                assembly.punctuators.stream_time(store, *schedule, handler);
            }
        }
        if let Some(store) = self.wall_clock.as_ref().map(|store| assembly.store(&store.name)) {
            let intervals: Vec<i64> =
                of(PunctuationType::WallClockTime).map(|schedule| schedule.interval_ms).collect();
            assembly.punctuators.wall_clock(store, intervals.clone());
            let handler = WallClock { store, intervals, handler: node.clone() };
            assembly.timers.push((store, Box::new(handler)));
        }
        assembly.install::<K, V>(id, node);
    }
}
