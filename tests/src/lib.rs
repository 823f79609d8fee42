//! What the end-to-end tests share: the real binary as processes, its API, and
//! waiting for a condition under a limit. Nothing here knows the crates inside.

pub mod api;
pub mod apps;
pub mod binary;
#[cfg(feature = "real")]
pub mod chain;
#[cfg(feature = "real")]
pub mod cluster;
pub mod feed;
#[cfg(feature = "real")]
pub mod load;
pub mod member;
pub mod ports;
pub mod process;
pub mod queries;
pub mod receiver;
pub mod replay;
pub mod replicas;
pub mod servers;
#[cfg(feature = "real")]
pub mod stage;
pub mod system;
#[cfg(feature = "real")]
pub mod trial;
pub mod wait;

pub use api::Api;
pub use feed::Feed;
pub use member::Member;
pub use process::{Orders, Ports};
pub use receiver::Receiver;
pub use servers::Servers;
pub use system::System;
pub use wait::until;
