//! An application as a whole, from outside: what all of its members do ([`describe`]), and beginning anew ([`Reset`]).
//!
//! Invariant: nothing here is part of a worker; who looks needs the log and, for what only members know, a way to ask them.

mod describe;
mod description;
mod reset;

pub use describe::{Look, Place, Seen, describe, who_is};
pub use description::{
    AppDescription, InputDescription, MemberDescription, StoreDescription, TaskDescription,
};
pub use reset::{InputReset, Reset, ResetError, ResetStep, ResetTopic, StartAt};
