//! Where the servers of `compose/dev/up` are.

/// A server's address from the environment; none in the rings that run without
/// servers, where the test that asks for it has nothing to do.
pub(crate) fn address(variable: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(address) => Some(address),
        Err(_) if std::env::var("RINGS").is_ok_and(|rings| rings == "fast") => None,
        Err(_) => panic!(
            "{variable} is not set: run `export $(compose/dev/up --env)` first, \
             or set RINGS=fast to leave out what needs servers"
        ),
    }
}
