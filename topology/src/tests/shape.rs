//! The shape of the flow: names that are contract, hops, and the README's
//! diagram.

use schemas::avro::Local;

use crate::{Application, FlowSettings, applications, diagram, hops};

fn flow() -> Vec<Application> {
    applications(&FlowSettings::default(), Local::source()).unwrap()
}

#[test]
fn post_to_validated_takes_at_most_four_transactions() {
    let flow = flow();
    let topologies: Vec<_> = flow.iter().map(|application| &application.topology).collect();
    assert_eq!(hops::post_to_validated(&topologies), Some(4));
}

/// Holds a part of the README equal to the code, or rewrites it.
fn hold(mark: &str, part: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (begin, end) = (format!("<!-- {mark}: begin -->\n"), format!("<!-- {mark}: end -->"));
    let (before, rest) = readme.split_once(&begin).expect("README.md has the begin mark");
    let (written, after) = rest.split_once(&end).expect("README.md has the end mark");
    if written != part {
        let remedy = "`UPDATE_DOCS=1 cargo test -p topology shape` rewrites README.md";
        assert!(std::env::var_os("UPDATE_DOCS").is_some(), "{mark}; {remedy}:\n{part}");
        std::fs::write(path, [before, &begin, part, &end, after].concat()).unwrap();
    }
}

#[test]
fn the_readme_shows_the_flow_and_its_names_as_they_are() {
    let flow = flow();
    hold("diagram", &format!("```mermaid\n{}```\n", diagram::mermaid(&flow)));
    let mut names = String::from("```text\n");
    for application in flow {
        let mut topics: Vec<_> =
            application.topology.internal_topics().into_iter().map(|topic| topic.name).collect();
        topics.sort();
        for name in topics {
            names.push_str(&name);
            names.push('\n');
        }
    }
    hold("names", &format!("{names}```\n"));
}

#[test]
fn every_topic_read_or_written_is_in_the_catalogue() {
    for application in flow() {
        for part in application.topology.subtopologies() {
            for topic in part.sources.iter().chain(&part.sinks) {
                let known = schemas::topics::ALL.iter().any(|info| info.name == &**topic);
                assert!(known || topic.starts_with(application.id), "{topic}");
            }
        }
    }
}
