//! The repository's own rules, as tests: dependency direction, pure crates, file
//! and function length, module docs. (Libraries by place: `supply.rs`.)
//!
//! The tables below are the law of `ARCHITECTURE.md`; change both together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use syn::spanned::Spanned;
use syn::visit::Visit;

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// What each of our crates may depend on. `orders`, `load-tests` and
/// `system-tests` may use anything; nothing may use them.
const DIRECTION: &[(&str, &[&str])] = &[
    ("allocator", &[]),
    ("schemas", &[]),
    ("state-stores", &[]),
    ("schema-registry", &["schemas"]),
    ("read-model", &["schemas"]),
    ("operators", &["state-stores"]),
    ("operators-log", &["state-stores"]),
    ("operators-runtime", &["operators", "operators-log", "state-stores"]),
    ("topology", &["schemas", "operators"]),
    ("ingress", &["schemas", "operators-log", "read-model"]),
    ("egress", &["schemas", "operators-log", "read-model"]),
];

const TOP: &[&str] = &["orders", "load-tests", "system-tests"];

/// Crates that must stay free of these, whatever the reason.
const BANNED: &[(&str, &[&str])] = &[
    ("operators", &["tokio", "chrono", "rand", "getrandom"]),
    ("state-stores", &["tokio", "chrono"]),
    ("schemas", &["tokio"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata works")
}

/// Normal and build dependencies by package; development ones may point up
/// where a test needs more than the crate.
fn edges(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    metadata
        .packages
        .iter()
        .map(|package| {
            let names = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name.clone())
                .collect();
            (package.name.to_string(), names)
        })
        .collect()
}

fn sources(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(under).expect("folder can be read") {
        let path = entry.expect("entry can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !matches!(name, "target" | ".git" | "data" | "node_modules" | ".venv") {
                sources(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    sources(&root(), &mut found);
    assert!(found.len() > 20, "only {} source files found", found.len());
    found.sort();
    found
}

fn assert_none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n{}", faults.join("\n"));
}

#[test]
fn crates_depend_only_downwards() {
    let ours: BTreeSet<&str> =
        DIRECTION.iter().map(|(name, _)| *name).chain(TOP.iter().copied()).collect();
    let mut faults = Vec::new();
    for (name, dependencies) in edges(&metadata()) {
        assert!(
            ours.contains(name.as_str()),
            "crate {name} is not in the table of tests/tests/tidy.rs"
        );
        let Some((_, allowed)) = DIRECTION.iter().find(|(crate_name, _)| *crate_name == name)
        else {
            continue;
        };
        for dependency in
            dependencies.iter().filter(|dependency| ours.contains(dependency.as_str()))
        {
            if !allowed.contains(&dependency.as_str()) {
                faults.push(format!("{name} -> {dependency}"));
            }
        }
    }
    assert_none("dependencies against the direction of ARCHITECTURE.md", &faults);
}

#[test]
fn pure_crates_stay_pure() {
    let mut faults = Vec::new();
    for (name, dependencies) in edges(&metadata()) {
        for (place, banned) in BANNED.iter().filter(|(place, _)| *place == name) {
            faults.extend(
                banned
                    .iter()
                    .filter(|library| dependencies.contains(**library))
                    .map(|library| format!("{place} names {library}")),
            );
        }
    }
    assert_none("libraries in crates that must be free of them", &faults);
}

#[test]
fn files_are_short_and_say_what_they_are_for() {
    let mut faults = Vec::new();
    for path in all_sources() {
        let text = fs::read_to_string(&path).expect("source can be read");
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", path.display()));
        }
        let first = text
            .lines()
            .find(|line| !line.trim().is_empty() && !line.starts_with("#!"))
            .unwrap_or_default();
        let is_fixture = path.components().any(|part| part.as_os_str() == "compile_fail");
        if !first.starts_with("//!") && !is_fixture {
            faults.push(format!("{}: no module doc", path.display()));
        }
    }
    assert_none("files", &faults);
}

struct Functions {
    faults: Vec<String>,
    path: String,
}

impl Functions {
    fn check(&mut self, name: &syn::Ident, block: &syn::Block) {
        let lines = block.span().end().line - block.span().start().line;
        if lines > FUNCTION_LINES_MAX {
            self.faults.push(format!(
                "{}: {name} has {lines} lines, at most {FUNCTION_LINES_MAX}",
                self.path
            ));
        }
    }
}

impl<'a> Visit<'a> for Functions {
    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        self.check(&item.sig.ident, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.check(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}

#[test]
fn functions_fit_on_a_screen() {
    let mut functions = Functions { faults: Vec::new(), path: String::new() };
    for path in all_sources() {
        let text = fs::read_to_string(&path).expect("source can be read");
        let Ok(file) = syn::parse_file(&text) else { continue };
        functions.path = path.display().to_string();
        functions.visit_file(&file);
    }
    assert_none("functions", &functions.faults);
}

#[test]
fn no_path_of_a_machine_and_no_ignored_test_is_committed() {
    let words = ["#[ign", "tod", "unimpl", "/wo", "/ro"].map(str::to_owned);
    let ends = ["ore", "o!(", "emented!(", "rk/main", "ot/."];
    let needles: Vec<String> =
        words.iter().zip(ends).map(|(start, end)| format!("{start}{end}")).collect();
    let mut faults = Vec::new();
    for path in all_sources() {
        let text = fs::read_to_string(&path).expect("source can be read");
        for needle in &needles {
            if text.contains(needle) {
                faults.push(format!("{}: {needle}", path.display()));
            }
        }
    }
    assert_none("marks that must not be committed", &faults);
}

#[test]
fn every_mutation_still_fits_the_code() {
    let list = root().join("operators/runtime/tests/mutations/broken.toml");
    let list: toml::Table = fs::read_to_string(list).expect("can be read").parse().expect("TOML");
    let mutations = list["mutation"].as_array().expect("[[mutation]]");
    let mut faults = Vec::new();
    for mutation in mutations {
        let text = |name: &str| mutation[name].as_str().unwrap_or_else(|| panic!("{name}"));
        let source = fs::read_to_string(root().join(text("file"))).unwrap_or_default();
        let found = source.matches(text("find")).count();
        if found != 1 {
            faults.push(format!("{}: `find` is {found} times in {}", text("name"), text("file")));
        }
    }
    assert_none("mutations that don't fit", &faults);
}

/// Names in `metrics::counter!("…"` and the like, and of what an application observes.
fn metrics_in(source: &str) -> impl Iterator<Item = &str> {
    ["counter!(", "gauge!(", "histogram!(", " observe("].into_iter().flat_map(move |call| {
        let calls = source.split(call).skip(1);
        calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
    })
}

#[test]
fn every_metric_is_explained_and_every_explained_one_is_there() {
    let page = fs::read_to_string(root().join("docs/metrics.md")).expect("docs/metrics.md");
    let row = |line: &str| Some(line.strip_prefix("| `")?.split('`').next()?.to_owned());
    let explained: BTreeSet<String> = page.lines().filter_map(row).collect();
    let mut kept = BTreeSet::new();
    // Tests talk of metrics, this one most of all.
    let tests = root().join("tests");
    for path in all_sources().into_iter().filter(|path| !path.starts_with(&tests)) {
        let text = fs::read_to_string(&path).expect("source can be read");
        let ours = text.contains("metrics::") || text.contains(" observe(");
        kept.extend(metrics_in(&text).filter(|_| ours).map(str::to_owned));
    }
    let faults: Vec<String> = explained.symmetric_difference(&kept).cloned().collect();
    assert_none("metrics that docs/metrics.md or the sources lack", &faults);
}

/// The names of `reference/edges.md` §5.2.
const CONTRACT: &str = "http_server_request_duration_seconds ratelimit_decisions_total \
    ratelimit_check_duration_seconds ratelimit_backend_mode ratelimit_backend_errors_total ws_connections \
    ws_subscriptions ws_disconnects_total ws_recover_total ws_send_queue_bytes ws_event_latency_seconds \
    webhook_deliveries_total webhook_attempt_duration_seconds webhook_publish_to_delivered_seconds webhook_backlog \
    webhook_oldest_pending_seconds webhook_endpoint_circuit webhook_ssrf_blocked_total stream_lag_records \
    stream_lag_seconds state_store_bytes state_store_entries stream_restore_seconds order_stage_duration_seconds \
    order_end_to_end_seconds outbox_oldest_seconds dead_letters_total";

#[test]
fn every_metric_of_the_contract_is_there_or_its_absence_has_a_reason() {
    let page = fs::read_to_string(root().join("docs/metrics.md")).expect("docs/metrics.md");
    let names: Vec<&str> = CONTRACT.split_whitespace().collect();
    assert_eq!(names.len(), 27);
    // That one is there only if the sources have it: the test before this one.
    let ways = |name: &str| ["`", "*"].map(|mark| format!("\n| {mark}{name}{mark} |"));
    let is_told = |name: &str| ways(name).iter().filter(|row| page.contains(*row)).count() == 1;
    let faults: Vec<String> =
        names.into_iter().filter(|name| !is_told(name)).map(str::to_owned).collect();
    assert_none("metrics of the contract that docs/metrics.md has neither or both ways", &faults);
}
