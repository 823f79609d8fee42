//! The shape of the flow: hops, topics and the README's diagram.

use schemas::avro::Local;

use crate::{APPLICATIONS, Application, FlowSettings, applications, diagram, hops};

fn flow() -> Vec<Application> {
    applications(&FlowSettings::default(), Local::source()).unwrap()
}

#[test]
fn post_to_validated_takes_at_most_four_transactions() {
    let flow = flow();
    let topologies: Vec<_> = flow.iter().map(|application| &application.topology).collect();
    assert_eq!(hops::post_to_validated(&topologies), Some(4));
}

#[test]
fn the_applications_are_counted() {
    assert_eq!(flow().len(), APPLICATIONS);
}

#[test]
fn the_readme_shows_the_flow_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let (begin, end) = ("<!-- diagram: begin -->\n```mermaid\n", "```\n<!-- diagram: end -->");
    let (before, rest) = readme.split_once(begin).expect("README.md has the begin mark");
    let (written, after) = rest.split_once(end).expect("README.md has the end mark");
    let diagram = diagram::mermaid(&flow());
    if written != diagram {
        let remedy = "`UPDATE_GOLDEN=1 cargo test -p topology` rewrites it";
        assert!(
            std::env::var_os("UPDATE_GOLDEN").is_some(),
            "an old diagram; {remedy}:\n{diagram}"
        );
        std::fs::write(path, [before, begin, &diagram, end, after].concat()).unwrap();
    }
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
