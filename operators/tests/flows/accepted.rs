//! Where our output is meant to differ from Kafka Streams'.

/// A case whose output isn't that of its vector, but that of another one with the same input.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) case: &'static str,
    /// The vector that is matched instead.
    pub(crate) instead: &'static str,
    /// When the two differ.
    pub(crate) condition: &'static str,
    /// Why ours is better.
    pub(crate) reason: &'static str,
}

const CONDITION: &str =
    "stream time jumps by about a window, and the store has its default retention";
const REASON: &str = "Kafka Streams expires closed windows before it reads them for their only result, and loses them; \
    we read them in the transaction that closes them, before they can be removed, so retention doesn't decide what \
    comes out";

const fn retained(case: &'static str, instead: &'static str) -> Accepted {
    Accepted { case, instead, condition: CONDITION, reason: REASON }
}

/// All of them.
pub(crate) const ACCEPTED: &[Accepted] = &[
    retained("tumbling_emit_final", "tumbling_emit_final_retained"),
    retained("hopping_emit_final", "hopping_emit_final_retained"),
    retained("sliding_emit_final", "sliding_emit_final_retained"),
    Accepted {
        case: "session_emit_final",
        instead: "session_emit_final_retained",
        condition: "as above; and a late record connects an open session with one that closed longer ago than the \
            retention. The flow has its twin's retention, so that the second never happens",
        reason: REASON,
    },
];
