//! What the function of an aggregation may give.

/// The row after a record: an `A`, or an `Option<A>` where `None` deletes the row.
#[diagnostic::on_unimplemented(
    message = "the aggregation keeps `{A}`, its function gives `{Self}`",
    label = "the function has to give `{A}`, or `Option<{A}>` where `None` deletes the row",
    note = "what is kept is the second type of the store's `Materialized`"
)]
pub trait AggregateResult<A> {
    /// The row, if there is one.
    fn into_row(self) -> Option<A>;
}

impl<A> AggregateResult<A> for A {
    fn into_row(self) -> Option<A> {
        Some(self)
    }
}

impl<A> AggregateResult<A> for Option<A> {
    fn into_row(self) -> Option<A> {
        self
    }
}
