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

#[test]
fn the_readme_shows_the_flow_as_it_is() {
    let diagram = diagram::mermaid(&flow());
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&diagram), "put this into README.md:\n{diagram}");
}

#[test]
fn names_of_stores_and_internal_topics_are_contract() {
    let mut names: Vec<String> = Vec::new();
    for application in flow() {
        names.extend(application.topology.internal_topics().iter().map(|t| t.name.to_string()));
    }
    names.sort();
    let expected = "\
fulfillment-worker-parcels-changelog fulfillment-worker-parcels-timers-changelog \
inventory-worker-adjustments-changelog \
inventory-worker-catalogue-changelog inventory-worker-catalogue-timers-changelog \
inventory-worker-holds-changelog inventory-worker-keeper-timers-changelog \
inventory-worker-stock-changelog order-analytics-revenue-changelog \
order-analytics-revenue-repartition order-analytics-revenue-time-changelog \
order-feed-numbers-changelog order-feed-numbers-timers-changelog \
order-lifecycle-orders-changelog order-lifecycle-orders-timers-changelog \
order-validator-fraud-changelog \
order-validator-fraud-time-changelog payment-worker-accounts-changelog \
payment-worker-accounts-timers-changelog";
    assert_eq!(names.join(" "), expected);
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
