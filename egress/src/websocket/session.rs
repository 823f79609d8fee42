//! One socket from its first message to its close code.
//!
//! Invariant: per topic, what is sent after `subscribed` is the events behind
//! the position it named, one by one. An event that doesn't follow on the last
//! closes the socket (1012): the client resumes, nothing is ever left out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::SinkExt as _;
use schemas::{Micros, UserId};
use tokio::time::{Instant, sleep_until, timeout};

use super::Shared;
use super::auth::{Caller, TokenRefused};
use super::opening::{End, Seat, first_token, incoming};
use super::protocol::{self, ClientMessage, Close, ErrorCode};
use crate::feed::{self, Followed, Follower, Position, Topic, TopicRefused, Wish};

/// Time a close frame may take; whoever doesn't read is gone anyway.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Events that go out together, before the client's own messages get a turn.
const BATCH: usize = 64;
/// Tokens may say they live for ever; an alarm that is too early does nothing.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Serves a socket to its end.
pub(super) async fn run(shared: Shared, mut seat: Seat, mut socket: WebSocket) {
    let end = match first_token(&shared, &mut seat, &mut socket).await {
        Ok((caller, place)) => {
            let follower = shared.hub.follower();
            let own = seat.wanted.unwrap_or(caller.user_id);
            tracing::info!("Client {} connected", caller.user_id);
            metrics::gauge!("ws_connections").increment(1);
            let mut session = Session::new(
                &shared,
                &mut socket,
                caller,
                std::mem::take(&mut seat.token),
                follower,
            );
            session.follow_silently(own);
            let end = session.serve().await;
            session.unfollow_all();
            metrics::gauge!("ws_connections").decrement(1);
            tracing::info!("Client {} disconnected", session.caller.user_id);
            place.give_back().await;
            end
        }
        Err(end) => end,
    };
    let code = match end {
        End::Close(close) => {
            let frame = CloseFrame { code: close.code(), reason: close.reason().into() };
            let closed = timeout(CLOSE_WITHIN, async {
                socket.send(Message::Close(Some(frame))).await?;
                // The other side answers; reading it ends the connection in order.
                while let Some(Ok(_)) = socket.recv().await {}
                Ok::<(), axum::Error>(())
            });
            let _gone_anyway = closed.await;
            close.code()
        }
        End::Gone => 1000,
    };
    metrics::counter!("ws_disconnects_total", "code" => code.to_string()).increment(1);
}

struct Session<'a> {
    shared: &'a Shared,
    socket: &'a mut WebSocket,
    caller: Caller,
    token: String,
    follower: Follower,
    /// Topics with the offset sent last; none before the first event of the
    /// silent subscription.
    topics: HashMap<Topic, Option<i64>>,
    /// The subscription that came with the connection.
    silent: Option<Topic>,
    received: VecDeque<Instant>,
    heard: Instant,
    ping_at: Instant,
    verify_at: Instant,
}

impl<'a> Session<'a> {
    fn new(
        shared: &'a Shared,
        socket: &'a mut WebSocket,
        caller: Caller,
        token: String,
        follower: Follower,
    ) -> Self {
        let now = Instant::now();
        Self {
            shared,
            socket,
            caller,
            token,
            follower,
            topics: HashMap::new(),
            silent: None,
            received: VecDeque::new(),
            heard: now,
            ping_at: now + shared.settings.ping_every,
            verify_at: now + shared.settings.verify_every,
        }
    }

    fn follow_silently(&mut self, user: UserId) {
        let topic = Topic::User(user);
        self.follower.follow(topic, user);
        self.topics.insert(topic, None);
        self.silent = Some(topic);
        metrics::gauge!("ws_subscriptions").increment(1);
    }

    fn unfollow(&mut self, topic: Topic) {
        if self.topics.remove(&topic).is_some() {
            self.follower.unfollow(topic);
            metrics::gauge!("ws_subscriptions").decrement(1);
        }
    }

    fn unfollow_all(&mut self) {
        for topic in self.topics.keys().copied().collect::<Vec<_>>() {
            self.unfollow(topic);
        }
    }

    async fn serve(&mut self) -> End {
        loop {
            let step = tokio::select! {
                biased;
                () = self.shared.shutdown.cancelled() => Err(End::Close(Close::Restart)),
                // Boxed: rare work must not make every idle socket's task large.
                () = sleep_until(self.next_alarm()) => Box::pin(self.alarm()).await,
                message = self.socket.recv() => match incoming(message, self.shared.settings.max_message) {
                    Ok(None) => { self.heard = Instant::now(); Ok(()) }
                    Ok(Some(text)) => Box::pin(self.message(&text)).await,
                    Err(end) => Err(end),
                },
                () = self.follower.news() => match self.follower.take(BATCH) {
                    Ok(events) => self.live(&events).await,
                    Err(_) => Err(End::Close(Close::Slow)),
                },
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Time that the token has left; zero once it is over.
    fn token_left(&self) -> Duration {
        let ends = Micros(self.caller.expires_at.saturating_mul(1_000_000));
        let left = ends.0.saturating_sub(self.shared.clock.now().0);
        Duration::from_micros(u64::try_from(left).unwrap_or(0))
    }

    fn next_alarm(&self) -> Instant {
        (Instant::now() + self.token_left().min(LONGEST_SLEEP))
            .min(self.ping_at)
            .min(self.verify_at)
    }

    async fn alarm(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.token_left().is_zero() {
            return Err(End::Close(Close::Unauthorized));
        }
        if self.verify_at <= now {
            self.verify_at = now + self.shared.settings.verify_every;
            match self.shared.verifier.verify(&self.token).await {
                Ok(caller) => self.go_on_as(caller).await?,
                Err(TokenRefused::Invalid) => return Err(End::Close(Close::Unauthorized)),
                // Revocations can't be asked for now; next time.
                Err(TokenRefused::Unavailable(_)) => {}
            }
        }
        if self.ping_at <= now {
            let every = self.shared.settings.ping_every;
            if now.duration_since(self.heard) > every * 3 {
                return Err(End::Gone);
            }
            self.ping_at = now + every;
            self.send([Message::Ping(axum::body::Bytes::new())]).await?;
        }
        Ok(())
    }

    async fn send(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), End> {
        let sending = async {
            for message in messages {
                self.socket.feed(message).await?;
            }
            self.socket.flush().await
        };
        tokio::select! {
            biased;
            sent = timeout(self.shared.settings.send_within, sending) => match sent {
                Ok(sent) => sent.map_err(|_| End::Gone),
                Err(_) => Err(End::Close(Close::Slow)),
            },
            () = self.shared.shutdown.cancelled() => Err(End::Close(Close::Restart)),
        }
    }

    async fn say(&mut self, text: String) -> Result<(), End> {
        self.send([Message::text(text)]).await
    }

    /// Tells why, then closes.
    async fn refuse(&mut self, close: Close, code: ErrorCode) -> End {
        match self.say(protocol::error(code, close.reason())).await {
            Ok(()) => End::Close(close),
            Err(end) => end,
        }
    }

    /// Sends events that came while this followed their topics, and tells how long they took to get here. What a client
    /// catches up on is as old as its absence, and says nothing of us.
    async fn live(&mut self, events: &[Followed]) -> Result<(), End> {
        let happened = self.events(events).await?;
        let (now, latency) =
            (self.shared.clock.now(), metrics::histogram!("ws_event_latency_seconds"));
        for at in happened {
            latency.record(at.seconds_until(now));
        }
        Ok(())
    }

    /// Sends those that the client lacks, and returns when they happened.
    async fn events(&mut self, events: &[Followed]) -> Result<Vec<Micros>, End> {
        let (mut messages, mut happened) = (Vec::with_capacity(events.len()), Vec::new());
        for followed in events {
            if let Some(message) = self.message_of(followed)? {
                messages.push(message);
                happened.push(followed.event.occurred_at);
            }
        }
        self.send(messages).await?;
        Ok(happened)
    }

    /// The message to send; none for an event that the client has, or wants no
    /// more.
    fn message_of(&mut self, followed: &Followed) -> Result<Option<Message>, End> {
        let offset = followed.event.offset(followed.topic);
        match self.topics.get_mut(&followed.topic) {
            // Unsubscribed after it was taken.
            None => return Ok(None),
            Some(Some(last)) if offset <= *last => return Ok(None),
            // 0 may be "nothing yet" or "from before this feed was kept".
            Some(Some(last)) if offset != *last + 1 && *last != 0 => {
                tracing::warn!(topic = %followed.topic, last, offset, "hole in the feed; the client resumes");
                return Err(End::Close(Close::Restart));
            }
            Some(last) => *last = Some(offset),
        }
        Ok(Some(Message::text(followed.event.message(followed.topic))))
    }

    async fn message(&mut self, text: &str) -> Result<(), End> {
        let now = Instant::now();
        self.heard = now;
        let window = self.shared.settings.message_window;
        while self.received.front().is_some_and(|at| now.duration_since(*at) >= window) {
            self.received.pop_front();
        }
        if self.received.len() >= self.shared.settings.max_messages {
            return Err(self.refuse(Close::Limit, ErrorCode::TooManyMessages).await);
        }
        self.received.push_back(now);
        match ClientMessage::parse(text) {
            Ok(ClientMessage::Ping) => self.say("pong".to_owned()).await,
            Ok(ClientMessage::Auth { token } | ClientMessage::Refresh { token }) => {
                self.refresh(token).await
            }
            Ok(ClientMessage::Unsubscribe { topic }) => {
                self.unfollow(topic);
                Ok(())
            }
            Ok(ClientMessage::Subscribe { topic, snapshot, position }) => {
                self.subscribe(topic, snapshot, position.as_ref()).await
            }
            Err(said) => self.say(protocol::error(said.code, &said.message)).await,
        }
    }

    async fn refresh(&mut self, token: String) -> Result<(), End> {
        match self.shared.verifier.verify(&token).await {
            // A socket keeps its user for life.
            Ok(caller) if caller.user_id == self.caller.user_id => {
                self.go_on_as(caller).await?;
                self.token = token;
                self.say(protocol::authenticated(self.caller.user_id)).await
            }
            Ok(_) => Err(self.refuse(Close::Forbidden, ErrorCode::Forbidden).await),
            Err(TokenRefused::Invalid) => {
                Err(self.refuse(Close::Unauthorized, ErrorCode::Unauthorized).await)
            }
            Err(TokenRefused::Unavailable(_)) => {
                self.say(protocol::error(
                    ErrorCode::Unavailable,
                    "the token could not be verified; try again",
                ))
                .await
            }
        }
    }

    /// Takes over what a verified token says. Whoever is no administrator any
    /// more keeps no topic that was open to administrators only: the socket
    /// closes, and the client comes back for what is its own.
    async fn go_on_as(&mut self, caller: Caller) -> Result<(), End> {
        let demoted = self.caller.admin && !caller.admin;
        self.caller = caller;
        let own = Topic::User(self.caller.user_id);
        if demoted && self.topics.keys().any(|topic| *topic != own) {
            return Err(self.refuse(Close::Forbidden, ErrorCode::Forbidden).await);
        }
        Ok(())
    }

    async fn subscribe(
        &mut self,
        topic: Topic,
        snapshot: bool,
        position: Option<&Position>,
    ) -> Result<(), End> {
        if self.topics.len() >= self.shared.settings.max_subscriptions
            && !self.topics.contains_key(&topic)
        {
            return Err(self.refuse(Close::Limit, ErrorCode::TooManySubscriptions).await);
        }
        // What is followed already goes on until the new wish is granted.
        let wish = Wish {
            user_id: self.caller.user_id,
            admin: self.caller.admin,
            topic,
            position,
            snapshot,
        };
        match feed::resume(&self.shared.database, &self.follower, wish).await {
            Ok(resumed) => {
                if let Some(silent) = self.silent.take().filter(|silent| *silent != topic) {
                    self.unfollow(silent);
                }
                if self.topics.insert(topic, Some(resumed.offset)).is_none() {
                    metrics::gauge!("ws_subscriptions").increment(1);
                }
                let result = if resumed.recovered { "recovered" } else { "reload" };
                metrics::counter!("ws_recover_total", "result" => result).increment(1);
                let epoch = self.shared.hub.epoch().to_owned();
                self.say(protocol::subscribed(
                    topic,
                    &epoch,
                    resumed.offset,
                    resumed.recovered,
                    resumed.snapshot,
                ))
                .await?;
                for missed in resumed.missed.chunks(BATCH) {
                    let of_topic = |event| Followed { topic, event: Arc::clone(event) };
                    self.events(&missed.iter().map(of_topic).collect::<Vec<_>>()).await?;
                }
                Ok(())
            }
            Err(TopicRefused::Forbidden) => {
                Err(self.refuse(Close::Forbidden, ErrorCode::Forbidden).await)
            }
            Err(TopicRefused::NotFound) => {
                self.say(protocol::error(ErrorCode::NotFound, "no such order")).await
            }
            Err(TopicRefused::Database(error)) => {
                tracing::warn!(%error, "subscription not made");
                self.say(protocol::error(
                    ErrorCode::Unavailable,
                    "the read model does not answer; try again",
                ))
                .await
            }
        }
    }
}
