//! The pictures and manifests of the order flow's applications, byte for byte.
//!
//! After a wanted change: `UPDATE_GOLDEN=1 cargo test -p topology --test golden`, then read the difference. A manifest
//! that has changed is more than a picture: `Manifest::compare` says what it means to the state that is there.

#![expect(clippy::unwrap_used, reason = "a test fails where something fails")]

use std::path::{Path, PathBuf};

use operators::{Manifest, Verdict};
use schemas::avro::Local;
use topology::{Application, FlowSettings, applications};

fn flow() -> Vec<Application> {
    applications(&FlowSettings::default(), Local::source()).unwrap()
}

fn manifest(application: &Application) -> Manifest {
    // What the topics are created with.
    let of = |topic: &str| (!topic.starts_with(application.id)).then_some(3);
    application.topology.manifest(&of).unwrap()
}

fn path(application: &Application, form: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    folder.join(format!("{}.{form}", application.id))
}

fn check(form: &str, draw: impl Fn(&Application) -> String) {
    let mut wrong = Vec::new();
    for application in flow() {
        let (path, text) = (path(&application, form), draw(&application));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            wrong.push(path.display().to_string());
        }
    }
    assert!(wrong.is_empty(), "UPDATE_GOLDEN=1 writes these anew:\n{}", wrong.join("\n"));
}

#[test]
fn texts() {
    check("txt", |application| application.topology.to_string());
}

#[test]
fn mermaid_charts() {
    check("mmd", |application| application.topology.mermaid());
}

#[test]
fn dot_graphs() {
    check("dot", |application| application.topology.dot());
}

#[test]
fn json() {
    check("json", |application| application.topology.json());
}

#[test]
fn manifests() {
    check("manifest.json", |application| manifest(application).to_json());
}

#[test]
fn the_kept_manifests_are_of_state_that_this_flow_goes_on_with() {
    for application in flow() {
        let kept = std::fs::read_to_string(path(&application, "manifest.json")).unwrap();
        let comparison =
            Manifest::compare(&Manifest::from_json(&kept).unwrap(), &manifest(&application));
        assert!(comparison.verdict <= Verdict::Compatible, "{}:\n{comparison}", application.id);
    }
}
