-- How far each reader of the log got, and the records it could not read.
-- (consumer, log, topic, partition, next offset) is the fence: a range of
-- records is applied by whoever moves this row from its start to its end.
CREATE TABLE sink_offsets (
    consumer    text NOT NULL,
    topic       text NOT NULL,
    partition   integer NOT NULL,
    log_id      text NOT NULL,
    topic_id    text NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (consumer, topic, partition)
);

CREATE TABLE sink_dead_letters (
    consumer  text NOT NULL,
    topic     text NOT NULL,
    partition integer NOT NULL,
    "offset"  bigint NOT NULL,
    reason    text NOT NULL,
    PRIMARY KEY (consumer, topic, partition, "offset")
);
