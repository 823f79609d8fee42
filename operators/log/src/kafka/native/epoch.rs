//! Which generation of its group a consumer is in.

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};

/// The generation (classic groups) or member epoch (KIP-848); `None`: it isn't in the group.
pub(in crate::kafka) fn group_epoch<C: ClientContext>(client: &Client<C>) -> Option<i32> {
    // SAFETY: `client` is borrowed, so its native client lives; what it gives is a copy, read before it is destroyed, once.
    let epoch = unsafe {
        let metadata = native::rd_kafka_consumer_group_metadata(client.native_ptr());
        if metadata.is_null() {
            return None;
        }
        let epoch = native::rd_kafka_consumer_group_metadata_generation_id(metadata);
        native::rd_kafka_consumer_group_metadata_destroy(metadata);
        epoch
    };
    (epoch >= 0).then_some(epoch)
}
