#!/usr/bin/env python3
"""Reads our topics as any other consumer would: confluent-kafka, Avro, a registry.

Nothing here knows our schemas; they come from the registry by the id in each value.

    # values given as "<topic> <hex>" lines on standard input
    read_topics.py --registry http://127.0.0.1:8081 < values.txt
    # a topic of a broker, from its beginning to its present end
    read_topics.py --registry http://127.0.0.1:8081 --bootstrap 127.0.0.1:9092 order_events orders

Prints one JSON object per record: {"topic", "key", "partition", "offset", "timestamp", "headers", "value"}.
Exits with 1 if a value can't be read; the error goes to standard error with its place.
"""

import argparse
import datetime
import json
import sys
import uuid

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def as_json(value):
    """What Avro's logical types become: the texts of our HTTP interface."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"unexpected type {type(value)}")


def show(**record):
    print(json.dumps(record, default=as_json, ensure_ascii=False), flush=True)


def read_lines(decode, lines):
    for line in lines:
        topic, digits = line.split()
        show(topic=topic, value=decode(topic, bytes.fromhex(digits)))


def read_broker(decode, bootstrap, topics, timeout):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"read-topics-{uuid.uuid4()}",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    metadata = consumer.list_topics(timeout=timeout).topics
    unknown = [topic for topic in topics if topic not in metadata or metadata[topic].error]
    if unknown:
        sys.exit(f"no such topic on {bootstrap}: {', '.join(unknown)}")
    wanted = {(topic, partition) for topic in topics for partition in metadata[topic].partitions}
    consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in wanted])
    while wanted:
        message = consumer.poll(timeout)
        if message is None:
            sys.exit(f"no record and no end of {sorted(wanted)} within {timeout} s")
        error = message.error()
        if error and error.code() == KafkaError._PARTITION_EOF:
            wanted.discard((message.topic(), message.partition()))
        elif error:
            raise KafkaException(error)
        else:
            show_message(decode, message)
    consumer.close()


def show_message(decode, message):
    key = message.key()
    show(
        topic=message.topic(),
        key=key.decode() if key is not None else None,
        partition=message.partition(),
        offset=message.offset(),
        timestamp=message.timestamp()[1],
        headers={name: value.decode(errors="replace") for name, value in message.headers() or []},
        value=decode(message.topic(), message.value()),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--registry", required=True, help="SCHEMA_REGISTRY_URL")
    parser.add_argument("--bootstrap", help="KAFKA_BOOTSTRAP_SERVERS; without it, standard input is read")
    parser.add_argument("--timeout", type=float, default=30, help="seconds to wait for a record")
    parser.add_argument("topics", nargs="*")
    arguments = parser.parse_args()

    deserializer = AvroDeserializer(SchemaRegistryClient({"url": arguments.registry}))

    def decode(topic, value):
        try:
            return deserializer(value, SerializationContext(topic, MessageField.VALUE))
        except Exception as error:
            sys.exit(f"{topic}: {type(error).__name__}: {error}")

    if arguments.bootstrap:
        read_broker(decode, arguments.bootstrap, arguments.topics, arguments.timeout)
    else:
        read_lines(decode, sys.stdin)


if __name__ == "__main__":
    main()
