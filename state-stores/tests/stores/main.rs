//! Every kind of store, on every engine: one contract, and one model test against a plain map.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

/// A module for each test that is generic over the disk, with one test per engine.
macro_rules! on_all_engines {
    ($($name:ident),+) => {$(
        mod $name {
            #[test]
            fn in_memory() {
                super::$name::<crate::disk::Memory>();
            }

            #[cfg(feature = "rocksdb")]
            #[test]
            fn on_rocksdb() {
                super::$name::<crate::disk::rocks::Rocks>();
            }
        }
    )+};
}

mod committed;
mod contract;
mod disk;
mod expiry;
mod keyed;
mod lists;
mod sessions;
#[path = "../torn/mod.rs"]
mod torn;
mod versioned;
mod windows;
mod world;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use state_stores::{I64Be, RawBytes, Serde};

use self::contract::contract;
use self::disk::{Disk, Memory};
use self::world::{Model, World, step};

/// Keys whose bytes matter to the order: one begins another, and some hold the layouts' marks.
const KEYS: [&[u8]; 6] = [b"", b"\0", b"a", b"a\0", b"a\xff", b"\xff\xff"];

fn key() -> impl Strategy<Value = &'static [u8]> + Clone {
    prop::sample::select(&KEYS[..])
}

fn serdes() -> (Serde<[u8]>, Serde<i64>) {
    (Arc::new(RawBytes), Arc::new(I64Be))
}

/// Random steps; after each of them store and model must be the same.
fn follows_its_model<M: Model, D: Disk>(cases: u32, steps: usize) {
    let steps = prop::collection::vec(step::<M>(), 1..steps);
    let mut runner = TestRunner::new(ProptestConfig { cases, ..ProptestConfig::default() });
    let result = runner.run(&steps, |steps| {
        let mut world = World::<M, D>::new();
        for step in steps {
            world.step(step);
            world.check();
        }
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

macro_rules! kinds {
    ($($name:ident: $model:ty),+ $(,)?) => {$(
        mod $name {
            use super::*;

            #[test]
            fn keeps_the_contract() {
                contract::<$model, Memory>();
            }

            #[test]
            fn follows_its_model() {
                super::follows_its_model::<$model, Memory>(64, 80);
            }

            #[cfg(feature = "rocksdb")]
            #[test]
            fn keeps_the_contract_on_rocksdb() {
                contract::<$model, disk::rocks::Rocks>();
            }

            #[cfg(feature = "rocksdb")]
            #[test]
            fn follows_its_model_on_rocksdb() {
                super::follows_its_model::<$model, disk::rocks::Rocks>(8, 60);
            }
        }
    )+};
}

kinds! {
    key_value: keyed::Keyed<keyed::Plain>,
    timestamped: keyed::Keyed<keyed::Timestamped>,
    list: lists::Lists,
    window: windows::Windows<false>,
    window_with_duplicates: windows::Windows<true>,
    session: sessions::Sessions,
    versions: versioned::Versions,
}
