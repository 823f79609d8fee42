//! Rate limits: an exact sliding log per scope (`contract.md` §1.3, T4).
//!
//! Invariants: no window of any length-`window` interval holds more admitted
//! requests than the limit, and no request is refused while fewer were admitted
//! (no false positives, no false negatives). All scopes of a request are decided
//! together; a refused request is recorded nowhere.
//!
//! | file | what |
//! |---|---|
//! | `policy` | which scopes a request has, from who asks and which route |
//! | `decision` | pure: what the logs' states mean, for both implementations |
//! | `in_process`, `redis` | where the logs are kept |
//! | `limiter` | one door: Redis with the in-process logs behind it |
//! | `breaker` | keeps an absent Redis from slowing requests |
//! | `layer` | the HTTP side: headers and 429 |

pub mod breaker;
pub mod decision;
pub mod in_process;
pub mod layer;
pub mod limiter;
pub mod policy;
pub mod redis;

pub use decision::{Decision, LogState, Scope, Standing};
pub use in_process::InProcess;
pub use limiter::Limiter;
pub use policy::{LimitSettings, Tier};
pub use redis::RedisLogs;
