//! The worked example of CONTRIBUTING.md is true: it is as small as it says, applies to the sources as they are,
//! compiles, and passes its test.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What an operator in the order flow may cost.
const FILES_MAX: usize = 3;
const LINES_MAX: usize = 60;

/// What the example is built from, with the workspace's own files.
const PARTS: [&str; 6] =
    ["Cargo.lock", "rust-toolchain.toml", "schemas", "state-stores", "operators", "topology"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}

/// The first listing of CONTRIBUTING.md that is a diff.
fn listing() -> Result<String> {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md"))?;
    let (_, rest) = text.split_once("```diff\n").context("CONTRIBUTING.md has no diff")?;
    let (diff, _) = rest.split_once("```\n").context("the diff of CONTRIBUTING.md doesn't end")?;
    Ok(diff.to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_file() {
        fs::copy(from, to)?;
        return Ok(());
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != "target" {
            copy(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

/// The workspace with only the members that the example needs, to be compiled quickly rather than well.
fn manifest() -> Result<String> {
    let mut manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let quick: toml::Table = "dev.debug = false".parse()?;
    manifest.insert("profile".to_owned(), quick.into());
    let workspace = manifest.get_mut("workspace").and_then(toml::Value::as_table_mut);
    let workspace = workspace.context("Cargo.toml has no workspace")?;
    workspace.remove("default-members");
    let members = ["schemas", "state-stores", "operators", "topology"];
    let members = members.map(|member| toml::Value::String(member.to_owned()));
    workspace.insert("members".to_owned(), toml::Value::Array(members.to_vec()));
    Ok(toml::to_string(&manifest)?)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    ensure!(output.status.success(), "{command:?}:\n{out}{err}");
    Ok(out)
}

#[test]
fn a_new_operator_takes_few_lines_in_few_files() -> Result<()> {
    let diff = listing()?;
    let count = |sign: &str| diff.lines().filter(|line| line.starts_with(sign)).count();
    let files = count("+++ ");
    let lines = count("+") - files;
    ensure!(files <= FILES_MAX && lines <= LINES_MAX, "{lines} lines in {files} files");
    let text = fs::read_to_string(root().join("CONTRIBUTING.md"))?;
    let claim = format!("three files, {lines} lines");
    ensure!(text.contains(&claim), "CONTRIBUTING.md doesn't say `{claim}`");
    Ok(())
}

#[test]
fn the_worked_example_applies_and_passes_its_test() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for part in PARTS {
        copy(&root().join(part), &folder.path().join(part)).with_context(|| part.to_owned())?;
    }
    fs::write(folder.path().join("Cargo.toml"), manifest()?)?;
    let diff = folder.path().join("example.diff");
    fs::write(&diff, listing()?)?;
    run(Command::new("git").arg("apply").arg(&diff).current_dir(folder.path()))?;

    // A target folder of its own: with the workspace's, each would undo what the other compiled.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("worked-example");
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--offline", "--quiet"]).args(arguments).current_dir(folder.path());
        run(cargo.env("CARGO_TARGET_DIR", &target).env("UPDATE_DOCS", "1"))
    };
    cargo(&["-p", "schemas", "--test", "readme"])?;
    let said = cargo(&["-p", "topology", "--lib", "analytics"])?;
    ensure!(said.contains("1 passed"), "the example's test didn't run:\n{said}");
    cargo(&["-p", "topology", "--lib", "shape"])?;
    let readme = fs::read_to_string(folder.path().join("topology/README.md"))?;
    ensure!(readme.contains("order-analytics-troubles-changelog"), "the names weren't rewritten");
    ensure!(readme.contains("order_failed --> order-analytics"), "the diagram wasn't rewritten");
    Ok(())
}
