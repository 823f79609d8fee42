//! Snapshot and resume: where a follower goes on.
//!
//! All or nothing: either every event after the given position follows, or the
//! answer says that it doesn't and gives a snapshot's position. The follower
//! is registered *before* anything is read, so live events wait for it
//! meanwhile, and those the answer covers already are recognised by offset.

use std::sync::Arc;

use read_model::{Database, ReadModelError};
use schemas::UserId;
use serde::{Deserialize, Serialize};

use super::event::FeedEvent;
use super::hub::{Follower, Hub};
use super::topic::Topic;

/// Orders in one snapshot, newest first.
const SNAPSHOT_ORDERS: u32 = 500;

/// A place in a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Names the incarnation of the feed.
    pub epoch: String,
    /// Events up to this one are known.
    pub offset: i64,
}

/// Where the follower goes on.
#[derive(Debug)]
pub struct Resumed {
    /// The events after the given position follow, all of them.
    pub recovered: bool,
    /// The offset before the next event.
    pub offset: i64,
    /// Orders as JSON text, where asked for and needed.
    pub snapshot: Option<Vec<String>>,
    /// Events after `offset` that were sent before, oldest first.
    pub missed: Vec<Arc<FeedEvent>>,
}

/// Why a topic can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum TopicRefused {
    /// No such order.
    #[error("no such order")]
    NotFound,
    /// Somebody else's.
    #[error("not yours")]
    Forbidden,
    /// The read model didn't answer.
    #[error(transparent)]
    Database(#[from] ReadModelError),
}

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The caller.
    pub user_id: UserId,
    /// An administrator may follow anything.
    pub admin: bool,
    /// What to follow.
    pub topic: Topic,
    /// Where the caller stands.
    pub position: Option<&'a Position>,
    /// Include the orders if the position can't be resumed.
    pub snapshot: bool,
}

/// What the read model knows of a topic.
struct Known {
    offset: i64,
    orders: Vec<String>,
}

/// Registers the follower and finds out where it goes on. After an error it
/// follows what it followed before.
pub async fn resume(
    database: &Database,
    follower: &Follower,
    wish: Wish<'_>,
) -> Result<Resumed, TopicRefused> {
    let owner = owner(database, &wish).await?;
    let known = follower.follows(wish.topic);
    let held = follower.follow(wish.topic, owner);
    match settle(follower.hub(), database, &held, &wish).await {
        Ok(resumed) => Ok(resumed),
        Err(error) => {
            if !known {
                follower.unfollow(wish.topic);
            }
            Err(error)
        }
    }
}

async fn owner(database: &Database, wish: &Wish<'_>) -> Result<UserId, TopicRefused> {
    let owner = match wish.topic {
        Topic::User(user) => user,
        Topic::Order(order) => database.order(order).await?.ok_or(TopicRefused::NotFound)?.user_id,
    };
    if wish.admin || owner == wish.user_id { Ok(owner) } else { Err(TopicRefused::Forbidden) }
}

async fn settle(
    hub: &Hub,
    database: &Database,
    held: &[Arc<FeedEvent>],
    wish: &Wish<'_>,
) -> Result<Resumed, TopicRefused> {
    let given = wish
        .position
        .filter(|position| position.epoch == hub.epoch())
        .map(|position| position.offset);
    let recovered = |offset, missed| Resumed { recovered: true, offset, snapshot: None, missed };
    let newest = held.last().map(|event| event.offset(wish.topic));
    if let (Some(offset), Some(newest)) = (given, newest)
        && offset <= newest
    {
        let missed = after(held, wish.topic, offset);
        if connects(&missed, wish.topic, offset) {
            return Ok(recovered(offset, missed));
        }
    }
    let known = known(database, wish, wish.snapshot).await?;
    // Nothing is held: the read model's last event is the client's. Or the
    // client was ahead on another instance, and this one will pass it.
    if let Some(offset) = given
        && newest.map_or(offset == known.offset, |newest| newest < offset && offset <= known.offset)
    {
        return Ok(recovered(offset, Vec::new()));
    }
    let missed = after(held, wish.topic, known.offset);
    let snapshot = wish.snapshot.then_some(known.orders);
    Ok(Resumed { recovered: false, offset: known.offset, snapshot, missed })
}

fn after(held: &[Arc<FeedEvent>], topic: Topic, offset: i64) -> Vec<Arc<FeedEvent>> {
    held.iter().filter(|event| event.offset(topic) > offset).map(Arc::clone).collect()
}

/// True where nothing is missing between `offset` and the last of `events`.
fn connects(events: &[Arc<FeedEvent>], topic: Topic, offset: i64) -> bool {
    (offset + 1..).zip(events).all(|(expected, event)| event.offset(topic) == expected)
}

async fn known(database: &Database, wish: &Wish<'_>, rows: bool) -> Result<Known, TopicRefused> {
    match wish.topic {
        Topic::User(user) if rows => {
            let snapshot = database.feed_snapshot(user, SNAPSHOT_ORDERS).await?;
            let orders = snapshot.orders.into_iter().map(|row| row.document).collect();
            Ok(Known { offset: snapshot.number, orders })
        }
        Topic::User(user) => {
            Ok(Known { offset: database.feed_number(user).await?, orders: Vec::new() })
        }
        Topic::Order(order) => {
            let row = database.order(order).await?.ok_or(TopicRefused::NotFound)?;
            Ok(Known { offset: row.version, orders: vec![row.document] })
        }
    }
}
