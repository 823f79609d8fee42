//! Names that are missing, used twice, or make no name on the log.

use operators::{
    BufferConfig, I64Be, JoinWindows, KeyValueDef, StreamsBuilder, Suppressed, TimeWindows, Utf8,
};

use crate::{check, numbers, said, store};

fn unnamed(what: &str, behind: &str) -> String {
    let named_after = "its store and topics are named after it";
    format!("the `{what}` behind `{behind}` has an empty name; give it one: {named_after}")
}

#[test]
fn nameless_on_streams() {
    check(&[
        (&unnamed("count", "source-in"), said(|_, s| drop(s.group_by_key().count(&store(""))))),
        (
            &unnamed("reduce", "filter-1"),
            said(|_, s| {
                s.filter(|_, _| true).group_by_key().reduce(&store(""), |a, b| a + b);
            }),
        ),
        (
            &unnamed("repartition", "select-key-1"),
            said(|_, s| {
                s.select_key::<str>(|_, n| n.to_string()).with_key_serde(Utf8).repartition("");
            }),
        ),
        (&unnamed("table", "source-t"), said(|b, _| drop(b.table("", &numbers("t"))))),
        (
            &unnamed("state-machine", "source-in"),
            said(|_, s| drop(s.state_machine::<i64, i64>("", I64Be, |_, _, _, _| {}))),
        ),
        (
            &unnamed("join", "source-in"),
            said(|b, s| drop(s.join("", &b.table("t", &numbers("t")), |a, b| a + b))),
        ),
        (
            &unnamed("process", "source-in"),
            said(|_, s| drop(s.process::<str, i64>("", &[], |_| unreachable!()))),
        ),
        (
            &unnamed("store", "p"),
            said(|_, s| {
                let nameless = KeyValueDef::<str, i64>::new("", Utf8, I64Be);
                s.process::<str, i64>("p", &[nameless.def()], |_| unreachable!());
            }),
        ),
    ]);
}

#[test]
fn nameless_on_tables_and_between() {
    check(&[
        (
            &unnamed("suppress", "t"),
            said(|b, _| {
                let limit = Suppressed::until_time_limit(10, BufferConfig::unbounded());
                b.table("t", &numbers("t")).suppress("", limit);
            }),
        ),
        (
            &unnamed("join_stream", "source-in"),
            said(|b, s| {
                let windows = JoinWindows::of_time_difference(10);
                s.join_stream("", &b.stream(&numbers("other")), windows, |a, b| a + b);
            }),
        ),
        (
            &unnamed("join_foreign_key", "t"),
            said(|b, _| {
                let (left, right) = (b.table("t", &numbers("t")), b.table("u", &numbers("u")));
                let key = |key: &str, _: &i64| Some(key.to_owned());
                left.join_foreign_key(&store(""), &right, key, |a, b| a + b);
            }),
        ),
        (
            &unnamed("join-tables", "t"),
            said(|b, _| {
                let (left, right) = (b.table("t", &numbers("t")), b.table("u", &numbers("u")));
                left.join("", &right, |a, b| a + b);
            }),
        ),
        (
            &unnamed("cogroup", "source-in"),
            said(|_, s| {
                let sums = s.group_by_key().cogroup("ins", |_, n, sum: &i64| n + sum);
                sums.aggregate(&store(""), || 0);
            }),
        ),
        (
            &unnamed("global_table", "prices"),
            said(|b, _| drop(b.global_table("", &numbers("prices")))),
        ),
    ]);
}

#[test]
fn names_used_twice() {
    let twice = |name: &str, first: &str, second: &str| {
        format!(
            "the name `{name}` is used twice, for {first} and for {second}; rename one: stores, changelogs and \
             repartition topics are named after it"
        )
    };
    check(&[
        (
            &twice("same", "a `count`", "a `reduce`"),
            said(|_, s| {
                s.group_by_key().count(&store("same"));
                s.group_by_key().reduce(&store("same"), |a, b| a + b);
            }),
        ),
        (
            &twice("sum-time", "a store of `sum-time`", "a store of `sum`"),
            said(|_, s| {
                s.group_by_key().count(&store("sum-time"));
                let windows = TimeWindows::of_size(10);
                s.group_by_key().windowed_by(windows).reduce(&store("sum"), |a, b| a + b);
            }),
        ),
        (
            &twice("t", "a global table", "another one"),
            said(|b, _| {
                b.global_table("t", &numbers("one"));
                b.global_table("t", &numbers("two"));
            }),
        ),
        (
            &twice("r", "a repartition topic", "another one"),
            said(|_, s| {
                let other = s.select_key::<str>(|_, n| n.to_string()).with_key_serde(Utf8);
                other.repartition("r");
                other.repartition("r");
            }),
        ),
    ]);
}

const RULE: &str = "a-z, A-Z, 0-9, `.`, `_` and `-`";

#[test]
fn names_that_no_log_has() {
    let topic = |name: &str, user: &str, problem: &str| {
        format!("the topic name `{name}` of {user} {problem}; choose 1 to 249 of {RULE}")
    };
    let store_topic = |name: &str, topic: &str, problem: &str| {
        let made = format!("the name `{name}` makes the topic name `{topic}`, which {problem}");
        format!("{made}; choose 1 to 249 of {RULE} for all of that")
    };
    let long = "x".repeat(240);
    let long_changelog = format!("app-{long}-changelog");
    check(&[
        (&topic("", "`source-`", "is empty"), said(|b, _| drop(b.table("t", &numbers(""))))),
        (
            &topic("..", "`source-..`", "is that of a folder"),
            said(|b, _| drop(b.stream(&numbers("..")))),
        ),
        (&topic("a b", "`sink-a b-1`", "contains ' '"), said(|_, s| s.to(&numbers("a b")))),
        (
            &topic("b/2", "`sink-b-b/2-1`", "contains '/'"),
            said(|_, s| s.to_one_of(&[numbers("b"), numbers("b/2")], |_, _| Some("b"))),
        ),
        (
            &topic("é", "the global table `g`", "contains 'é'"),
            said(|b, _| drop(b.global_table("g", &numbers("é")))),
        ),
        (
            &store_topic("per user", "app-per user-changelog", "contains ' '"),
            said(|_, s| drop(s.group_by_key().count(&store("per user")))),
        ),
        (
            &store_topic(&long, &long_changelog, "has 254 characters, more than 249"),
            said(|_, s| drop(s.group_by_key().count(&store(&long)))),
        ),
        (
            &store_topic("by:n", "app-by:n-repartition", "contains ':'"),
            said(|_, s| {
                s.select_key::<str>(|_, n| n.to_string()).with_key_serde(Utf8).repartition("by:n");
            }),
        ),
        (
            &store_topic("stuck?", "app-stuck?-changelog", "contains '?'"),
            said(|_, s| drop(s.filter(|_, _| true).park_key("stuck?"))),
        ),
    ]);
}

#[test]
fn application_ids_that_no_log_has() {
    let said = |id: &str| {
        let builder = StreamsBuilder::new(id);
        builder.stream(&numbers("in")).to(&numbers("out"));
        builder.build().expect_err("this can't be built").to_string()
    };
    let id = |id: &str, problem: &str| {
        let why = "the names of topics and of the group begin with it";
        format!("the application id `{id}` {problem}; {why}: choose 1 to 240 of {RULE}")
    };
    let long = "x".repeat(241);
    check(&[
        (&id("", "is empty"), said("")),
        (&id("word count", "contains ' '"), said("word count")),
        (&id(&long, "has 241 characters, more than 240"), said(&long)),
    ]);
}
