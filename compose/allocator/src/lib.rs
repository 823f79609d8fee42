//! The allocator of our binaries: jemalloc, for Rust, RocksDB and librdkafka alike.
//!
//! Records are allocated in one thread and freed in another, in sizes of all kinds: glibc's malloc costs the stream
//! engine a quarter more CPU there, and holds a fifth more memory (`load-tests/RESULTS.md`). A binary takes it by naming
//! this crate:
//!
//! ```
//! use allocator as _;
//! ```
//!
//! Its settings are in `.cargo/config.toml`, compiled in; `MALLOC_CONF` in the environment overrules them.

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
