//! The applications together: one driver each, joined by topics in memory, so
//! that a whole order runs in one test, with restarts wherever one likes.

mod crashes;
mod failures;
mod flows;
mod orders;
mod shape;
mod world;
