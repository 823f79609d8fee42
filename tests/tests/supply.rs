//! What comes from outside: which of our crates may use which library, under
//! which licences, from where.
//!
//! `deny.toml` is the only table. `cargo deny check` reads it where that tool is
//! installed (hosted CI: advisories too); here the same rules are applied to
//! `Cargo.lock` and cargo's metadata, so that `make test` needs no such tool.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::MetadataCommand;
use toml::Table;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn read(name: &str) -> Table {
    let text = fs::read_to_string(root().join(name)).expect("the file can be read");
    text.parse().expect("the file is TOML")
}

fn texts(table: &Table, name: &str) -> Vec<String> {
    let values = table.get(name).and_then(|value| value.as_array());
    values.into_iter().flatten().filter_map(|value| Some(value.as_str()?.to_owned())).collect()
}

fn section(table: &Table, name: &str) -> Table {
    table.get(name).and_then(|value| value.as_table()).cloned().unwrap_or_default()
}

fn tables(table: &Table, name: &str) -> Vec<Table> {
    let values = table.get(name).and_then(|value| value.as_array());
    values.into_iter().flatten().filter_map(|value| value.as_table().cloned()).collect()
}

fn text(table: &Table, name: &str) -> String {
    table.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

/// Package by package, the names of all it depends on, for any target or test.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in tables(&read("Cargo.lock"), "package") {
        // `name` or `name version`.
        let needs = texts(&package, "dependencies")
            .into_iter()
            .filter_map(|need| need.split(' ').next().map(str::to_owned));
        graph.entry(text(&package, "name")).or_default().extend(needs);
    }
    assert!(graph.len() > 100, "only {} packages in Cargo.lock", graph.len());
    graph
}

#[test]
fn libraries_are_used_where_deny_toml_allows_it() {
    let graph = graph();
    let bans = tables(&section(&read("deny.toml"), "bans"), "deny");
    assert!(bans.len() >= 6, "only {} bans in deny.toml", bans.len());
    let mut faults = Vec::new();
    for ban in bans {
        let (library, allowed) = (text(&ban, "crate"), texts(&ban, "wrappers"));
        if allowed.is_empty() && graph.contains_key(&library) {
            faults.push(format!("{library} is in Cargo.lock"));
        }
        for (package, needs) in &graph {
            if needs.contains(&library) && !allowed.contains(package) {
                faults.push(format!("{package} uses {library}, only {allowed:?} may"));
            }
        }
        for package in allowed {
            if !graph.get(&package).is_some_and(|needs| needs.contains(&library)) {
                faults.push(format!("deny.toml lets {package} use {library}, which it doesn't"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn everything_comes_from_crates_io() {
    let sources: BTreeSet<String> = tables(&read("Cargo.lock"), "package")
        .iter()
        .map(|package| text(package, "source"))
        .filter(|source| !source.is_empty())
        .collect();
    assert_eq!(sources, BTreeSet::from([CRATES_IO.to_owned()]));
}

#[test]
fn licences_are_of_the_list() {
    let allowed = texts(&section(&read("deny.toml"), "licenses"), "allow");
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .exec()
        .expect("cargo metadata works");
    let faults: Vec<String> = metadata
        .packages
        .iter()
        .filter(|package| {
            !package.license.as_deref().is_some_and(|licence| is_allowed(licence, &allowed))
        })
        .map(|package| format!("{}: {:?}", package.name, package.license))
        .collect();
    assert!(faults.is_empty(), "licences that deny.toml doesn't list:\n{}", faults.join("\n"));
}

/// An SPDX expression: one of its alternatives is allowed in all parts.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.trim();
    if let Some((left, right)) = split(expression, " OR ").or_else(|| expression.split_once('/')) {
        return is_allowed(left, allowed) || is_allowed(right, allowed);
    }
    if let Some((left, right)) = split(expression, " AND ") {
        return is_allowed(left, allowed) && is_allowed(right, allowed);
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => is_allowed(inner, allowed),
        None => allowed.iter().any(|licence| licence == expression),
    }
}

/// At the first operator that is in no parentheses.
fn split<'a>(expression: &'a str, operator: &str) -> Option<(&'a str, &'a str)> {
    expression.match_indices(operator).find_map(|(at, _)| {
        let (left, right) = expression.split_at(at);
        let is_outside = left.matches('(').count() == left.matches(')').count();
        is_outside.then(|| (left, right.trim_start_matches(operator)))
    })
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned()];
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("(MIT AND GPL-3.0) OR Zlib", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}
