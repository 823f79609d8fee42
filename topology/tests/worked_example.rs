//! The worked example of CONTRIBUTING.md is true: it is as small as it says, applies to the sources as they are,
//! compiles, and passes its test. It compiles a copy of the flow, so `make test-fast` leaves it out.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What an operator in the order flow may cost.
const FILES_MAX: usize = 3;
const LINES_MAX: usize = 60;

/// The crates that the example is built from.
const CRATES: [&str; 4] = ["schemas", "state-stores", "operators", "topology"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// CONTRIBUTING.md, and its first listing that is a diff.
fn listing() -> Result<(String, String)> {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md"))?;
    let (_, rest) = text.split_once("```diff\n").ok_or("CONTRIBUTING.md has no diff")?;
    let (diff, _) = rest.split_once("```\n").ok_or("the diff of CONTRIBUTING.md doesn't end")?;
    let diff = diff.to_owned();
    Ok((text, diff))
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

/// The workspace's manifest with only those crates, to be compiled quickly rather than well.
fn manifest() -> Result<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let (before, rest) = manifest.split_once("members = [").ok_or("no members")?;
    let (_, rest) = rest.split_once("]\n").ok_or("the members don't end")?;
    let (rest, _) = rest.split_once("[profile.").ok_or("no profile")?;
    let rest: Vec<&str> =
        rest.lines().filter(|line| !line.starts_with("default-members")).collect();
    Ok(format!("{before}members = {CRATES:?}\n{}\n[profile.dev]\ndebug = false\n", rest.join("\n")))
}

/// An empty folder with a copy of the sources.
fn copied(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for part in CRATES.iter().chain(&["Cargo.lock", "rust-toolchain.toml"]) {
        copy(&root().join(part), &folder.join(part))?;
    }
    Ok(fs::write(folder.join("Cargo.toml"), manifest()?)?)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!("{command:?}:\n{said}{}", String::from_utf8_lossy(&output.stderr)).into())
}

#[test]
fn a_new_operator_takes_few_lines_in_few_files() -> Result<()> {
    let (text, diff) = listing()?;
    let count = |sign: &str| diff.lines().filter(|line| line.starts_with(sign)).count();
    let files = count("+++ ");
    let lines = count("+") - files;
    assert!(files <= FILES_MAX && lines <= LINES_MAX, "{lines} lines in {files} files");
    let claim = format!("three files, {lines} lines");
    assert!(files == 3 && text.contains(&claim), "CONTRIBUTING.md doesn't say `{claim}`");
    Ok(())
}

#[test]
fn the_worked_example_applies_and_passes_its_test() -> Result<()> {
    if std::env::var("RINGS").is_ok_and(|rings| rings == "fast") {
        return Ok(());
    }
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("worked-example");
    let folder = parent.join("sources");
    copied(&folder)?;
    fs::write(folder.join("example.diff"), listing()?.1)?;
    // Inside another repository git would take the paths for that one's.
    let mut git = Command::new("git");
    git.args(["apply", "example.diff"]).env("GIT_CEILING_DIRECTORIES", &parent);
    run(git.current_dir(&folder))?;

    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--offline", "--quiet"]).args(arguments).current_dir(&folder);
        // With the target folder of the workspace each would undo what the other compiled.
        cargo.env("CARGO_TARGET_DIR", parent.join("target")).env("CARGO_INCREMENTAL", "0");
        run(cargo.env("UPDATE_GOLDEN", "1"))
    };
    let said = cargo(&["-p", "topology", "--lib", "analytics"])?;
    assert!(said.contains("1 passed"), "the example's test didn't run:\n{said}");
    cargo(&["-p", "topology", "--lib", "shape"])?;
    let readme = fs::read_to_string(folder.join("topology/README.md"))?;
    assert!(readme.contains("order_failed --> order-analytics"), "the diagram wasn't rewritten");
    Ok(())
}
