//! What the system tests share: finding the binary, starting roles, waiting for
//! a condition with a time limit.
