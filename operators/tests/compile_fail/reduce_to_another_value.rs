//! `reduce` gives what it takes; `aggregate` gives what its store keeps.

use operators::{I64Be, Materialized, StreamsBuilder, Topic, Utf8};

fn main() {
    let builder = StreamsBuilder::new("wrong");
    let prices = builder.stream(&Topic::<str, i64>::new("prices", Utf8, I64Be)).group_by_key();
    prices.reduce(&Materialized::as_("sums", Utf8, I64Be), |a, b| format!("{a}{b}"));
    let text = Materialized::<str, String>::as_("texts", Utf8, Utf8);
    prices.aggregate(&text, String::new, |_, price, all: &String| all.len() as i64 + price);
}
