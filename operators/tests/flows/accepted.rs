//! Where our output is meant to differ from Kafka Streams', and what must come out there instead.

use serde_json::Value;

use super::forgotten;

/// A case whose output isn't all that of its vector.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) case: &'static str,
    pub(crate) expected: Expected,
    /// When the two differ.
    pub(crate) condition: &'static str,
    /// Why ours is better.
    pub(crate) reason: &'static str,
}

/// What must come out instead, record by record.
#[derive(Debug)]
pub(crate) enum Expected {
    /// The output of this vector, which has the same input.
    OutputOf(&'static str),
    /// The case's own output but for the records that a model of the condition picks and corrects, from the input alone.
    Corrected(Correct),
}

/// Takes a round's input and Kafka Streams' output; gives what must come out, and how many records that changed.
pub(crate) type Correct = fn(&[Value], Vec<Value>) -> (Vec<Value>, usize);

const fn retained(case: &'static str, instead: &'static str) -> Accepted {
    Accepted {
        case,
        expected: Expected::OutputOf(instead),
        condition: "stream time jumps by about a window, and the store has its default retention",
        reason: CLOSED_WINDOWS,
    }
}

const CLOSED_WINDOWS: &str = "Kafka Streams expires closed windows before it reads them for their only result, and loses \
    them; we read them in the transaction that closes them, before they can be removed, so retention doesn't decide what \
    comes out";

const fn tombstone(case: &'static str, correct: Correct) -> Accepted {
    Accepted {
        case,
        expected: Expected::Corrected(correct),
        condition: "a tombstone replaced the newest value of a key, at that value's own time, and what came before was \
            nothing or a deletion; then an older row came late, and a record of after the tombstone is joined",
        reason: "Kafka Streams keeps no trace of such a tombstone (it does of any other) and joins the older row for good; \
            one version per key and time means that the later one counts, so we join none",
    }
}

/// All of them.
pub(crate) const ACCEPTED: &[Accepted] = &[
    retained("tumbling_emit_final", "tumbling_emit_final_retained"),
    retained("hopping_emit_final", "hopping_emit_final_retained"),
    retained("sliding_emit_final", "sliding_emit_final_retained"),
    Accepted {
        case: "session_emit_final",
        expected: Expected::OutputOf("session_emit_final_retained"),
        condition: "stream time jumps by about a window, and the store has its default retention; and a late record \
            connects an open session with one that closed longer ago than the retention. The flow has its twin's \
            retention, so that the second never happens",
        reason: CLOSED_WINDOWS,
    },
    tombstone("versioned_stream_table_inner", forgotten::inner),
    tombstone("versioned_stream_table_left", forgotten::left),
    tombstone("versioned_stream_table_inner_grace", forgotten::inner),
    tombstone("versioned_stream_table_left_grace", forgotten::left),
];

/// How many records are in one of two outputs of the same input, and not in the other.
pub(crate) fn differing(one: &[Value], other: &[Value]) -> usize {
    let of_step = |output: &[Value], from: usize, step: &Value| {
        output[from..].iter().take_while(|record| record["step"] == *step).count()
    };
    let (mut at, mut other_at, mut differing) = (0, 0, 0);
    while let Some(first) =
        one.get(at).into_iter().chain(other.get(other_at)).min_by_key(|record| step(record))
    {
        let ours = &one[at..][..of_step(one, at, &first["step"])];
        let mut theirs: Vec<&Value> =
            other[other_at..][..of_step(other, other_at, &first["step"])].iter().collect();
        (at, other_at) = (at + ours.len(), other_at + theirs.len());
        for record in ours {
            match theirs.iter().position(|their| *their == record) {
                Some(place) => drop(theirs.swap_remove(place)),
                None => differing += 1,
            }
        }
        differing += theirs.len();
    }
    differing
}

fn step(record: &Value) -> u64 {
    record["step"].as_u64().unwrap()
}
