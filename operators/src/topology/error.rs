//! What can be wrong with a topology.

/// A topology that can't be run. Every message names the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// A stateful operator without a name.
    #[error(
        "the `{operator}` behind `{behind}` has an empty name; give it one: its store and topics are named after it"
    )]
    Unnamed {
        /// What it is.
        operator: String,
        /// The node or topic it reads.
        behind: String,
    },
    /// Two operators or stores of one name.
    #[error(
        "the name `{name}` is used twice, for {first} and for {second}; rename one: stores, changelogs and repartition topics are named after it"
    )]
    DuplicateName {
        /// The name.
        name: String,
        /// What has it, e.g. `the operator count`.
        first: String,
        /// What else has it.
        second: String,
    },
    /// Two global tables of one topic.
    #[error(
        "topic `{topic}` is read by the global tables `{first}` and `{second}`; make one and use it twice"
    )]
    GlobalTwice {
        /// The topic.
        topic: String,
        /// One table.
        first: String,
        /// The other table.
        second: String,
    },
    /// One topic read as two types.
    #[error(
        "topic `{topic}` is read with two different key or value types; read it once and map the stream"
    )]
    SourceTypes {
        /// The topic.
        topic: String,
    },
    /// A topic that is read already is to be read in another way.
    #[error(
        "topic `{topic}` is read already; say how it is read (`stream_with`) where it is read first, and once"
    )]
    ConsumedTwice {
        /// The topic.
        topic: String,
    },
    /// A stateful operator after a change of type, with no codec to write the record.
    #[error(
        "operator `{operator}` has no codec for the {part}s of its input; attach one with `with_{part}_serde` before it"
    )]
    NoSerde {
        /// The operator.
        operator: String,
        /// `key` or `value`.
        part: &'static str,
    },
    /// An operator that reads a table whose rows can't be read, or that needs the rows it replaces.
    #[error(
        "operator `{operator}` needs the rows of a table that can't be read by key, or what they were before, which isn't known; put `.materialize(…)` behind that table"
    )]
    NotMaterialized {
        /// The operator.
        operator: String,
    },
    /// `suppress` until windows close, of a table that no windowed aggregation made.
    #[error(
        "operator `{operator}` waits for windows to close, but no windowed aggregation above it says when they do; suppress the table that `windowed_by(…)` and its aggregation gave"
    )]
    NoWindows {
        /// The operator.
        operator: String,
    },
    /// `suppress` of a table that keeps versions.
    #[error(
        "operator `{operator}` suppresses a versioned table, whose late rows are no results of now; put `.materialize(…)` before it, or begin with `table` instead of `versioned_table`"
    )]
    VersionedSuppress {
        /// The operator.
        operator: String,
    },
    /// A join with a grace needs the table's rows of some time ago.
    #[error(
        "join `{operator}` has a grace of {grace_ms} ms, but its table keeps {history_ms} ms of history; make it with `versioned_table` and a history retention of at least the grace"
    )]
    GraceWithoutHistory {
        /// The join.
        operator: String,
        /// Its grace (ms).
        grace_ms: i64,
        /// What the table keeps (ms).
        history_ms: i64,
    },
    /// An operator whose failing records can't be kept.
    #[error(
        "operator `{operator}` can't park keys: {why}; put `park_key` behind an operator with one stream as input"
    )]
    CantPark {
        /// The operator.
        operator: String,
        /// What is in the way.
        why: &'static str,
    },
    /// A stream was joined or merged after its key changed.
    #[error(
        "operator `{operator}` needs its input by key, but the key may have changed; call `repartition` before it"
    )]
    NeedsRepartition {
        /// The operator.
        operator: String,
    },
    /// Streams of two builders in one operator.
    #[error(
        "operator `{operator}` combines streams of two builders; make both from one StreamsBuilder"
    )]
    TwoBuilders {
        /// The operator.
        operator: String,
    },
    /// The flow feeds itself.
    #[error("the flow is a circle: `{writer}` writes what it came from (topics {}); if that is meant, declare one of them with `StreamsBuilder::feedback`", topics.join(", "))]
    Cycle {
        /// The topics on the circle.
        topics: Vec<String>,
        /// The sink that closes it.
        writer: String,
    },
    /// A source topic that isn't there.
    #[error("source topic `{topic}` doesn't exist; create it first (`orders topics create`)")]
    MissingTopic {
        /// The topic.
        topic: String,
    },
    /// Two topics that are read together have different partition counts.
    #[error(
        "topics `{first}` ({first_count} partitions) and `{second}` ({second_count} partitions) meet at `{node}` and must have one partition count; recreate one of them, or put `.repartition(…)` behind one"
    )]
    NotCopartitioned {
        /// The first node that depends on both.
        node: String,
        /// One topic.
        first: String,
        /// Its partitions.
        first_count: u32,
        /// The other topic.
        second: String,
        /// Its partitions.
        second_count: u32,
    },
    /// A repartition topic exists with another number of partitions than the flow says.
    #[error(
        "topic `{topic}` has {found} partitions, but is to have {fixed}; give its `Repartitioned` the number it has, or another name"
    )]
    PartitionsFixed {
        /// The topic.
        topic: String,
        /// What the flow says.
        fixed: u32,
        /// What it has.
        found: u32,
    },
    /// The application's id can't begin a topic's name.
    #[error(
        "the application id `{id}` {problem}; the names of topics and of the group begin with it: choose 1 to 240 of a-z, A-Z, 0-9, `.`, `_` and `-`"
    )]
    IllegalApplicationId {
        /// The id.
        id: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A topic that no log can have.
    #[error(
        "the topic name `{topic}` of {user} {problem}; choose 1 to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`"
    )]
    IllegalTopic {
        /// Its name.
        topic: String,
        /// Who reads or writes it.
        user: String,
        /// What is wrong with the name.
        problem: String,
    },
    /// A name of a store or operator that makes a topic's name which no log can have.
    #[error(
        "the name `{name}` makes the topic name `{topic}`, which {problem}; choose 1 to 249 of a-z, A-Z, 0-9, `.`, `_` and `-` for all of that"
    )]
    IllegalName {
        /// The name.
        name: String,
        /// The topic named after it.
        topic: String,
        /// What is wrong with the topic's name.
        problem: String,
    },
    /// An internal topic of the topology is read as if it were another's.
    #[error("{reader} reads `{topic}`, which is {what}; {remedy}")]
    ReadsOwnTopic {
        /// What reads it.
        reader: String,
        /// The topic.
        topic: String,
        /// What it is.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// An internal topic of the topology is written by others than what keeps it.
    #[error(
        "`{writer}` writes `{topic}`, which is {what} and nobody else's; write to a topic of your own"
    )]
    WritesOwnTopic {
        /// The sink.
        writer: String,
        /// The topic.
        topic: String,
        /// What it is.
        what: String,
    },
    /// Nothing is read.
    #[error("the topology reads no topic; begin with StreamsBuilder::stream or table")]
    Empty,
}
