-- How far each reader of the log got, and the records it could not read.
-- (consumer, log, topic, partition, next offset) is the fence: a range of
-- records is applied by whoever moves this row from its start to its end.
CREATE TABLE sink_offsets (
    consumer    TEXT NOT NULL,
    topic       TEXT NOT NULL,
    partition   INTEGER NOT NULL,
    log_id      TEXT NOT NULL,
    topic_id    TEXT NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (consumer, topic, partition)
);

CREATE TABLE sink_dead_letters (
    consumer  TEXT NOT NULL,
    topic     TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset"  INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    PRIMARY KEY (consumer, topic, partition, "offset")
);
