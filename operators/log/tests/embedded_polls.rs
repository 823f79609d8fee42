//! How much one poll brings.

use std::time::Duration;

use operators_log::embedded::EmbeddedLog;
use operators_log::{Cleanup, Isolation, Log, NewRecord, TopicPartition, TopicSpec, Visibility};

#[test]
fn a_poll_of_large_records_ends_before_it_has_all() {
    const RECORDS: usize = 24;
    const BYTES: usize = 300 << 10;
    let log = EmbeddedLog::in_memory().unwrap();
    let topic =
        TopicSpec { name: "t".into(), partitions: 2, replication: 1, cleanup: Cleanup::Keep };
    log.admin().unwrap().ensure_topics(&[topic]).unwrap();
    let appender = log.appender("test").unwrap();
    let value = vec![7; BYTES];
    for number in 0..RECORDS {
        let record = NewRecord { key: None, value: Some(&value), timestamp: 0, headers: &[] };
        let done = Box::new(|done: operators_log::Appended| assert!(done.is_ok(), "{done:?}"));
        appender.append("t", Some(number as u32 % 2), record, done);
    }
    log.sync().unwrap();
    let mut reader = log.reader("test", Isolation::ReadCommitted, Visibility::Written).unwrap();
    reader.assign(&[0, 1].map(|partition| (TopicPartition::new("t", partition), 0))).unwrap();
    let mut seen = 0;
    while seen < RECORDS {
        let visited = reader.poll(Duration::from_secs(60), 1_000, &mut |_| {}).unwrap();
        assert!((1..=4).contains(&visited), "{visited} records of {BYTES} bytes");
        seen += visited;
    }
    assert_eq!(seen, RECORDS);
}
