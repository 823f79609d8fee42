//! A websocket server on a port of its own and clients of another make.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use egress::clock::{Clock as _, SystemClock};
use egress::feed::{FeedSettings, Hub, run_feed};
use egress::websocket::{
    Caller, LocalLeases, TokenRefused, TokenVerifier, WebSocketParts, WebSocketSettings,
    run_websocket,
};
use futures::future::BoxFuture;
use futures::{SinkExt as _, StreamExt as _};
use schemas::UserId;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use crate::common::{PATIENCE, World, user};

/// Tokens are names; what they stand for can be changed while sockets live.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<String, Caller>>);

impl Tokens {
    pub(crate) fn give(&self, token: &str, user_id: UserId, admin: bool, seconds: i64) {
        let expires_at = SystemClock.now().0 / 1_000_000 + seconds;
        self.0.lock().unwrap().insert(token.to_owned(), Caller { user_id, admin, expires_at });
    }

    pub(crate) fn revoke(&self, token: &str) {
        self.0.lock().unwrap().remove(token);
    }
}

impl TokenVerifier for Tokens {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, TokenRefused>> {
        let caller = self.0.lock().unwrap().get(token).cloned().ok_or(TokenRefused::Invalid);
        Box::pin(async move { caller })
    }
}

pub(crate) struct Server {
    pub(crate) world: World,
    pub(crate) hub: Arc<Hub>,
    pub(crate) address: SocketAddr,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) stop: CancellationToken,
}

/// A hub with the feed of this world.
pub(crate) fn hub(world: &World, stop: &CancellationToken) -> Arc<Hub> {
    fed(Hub::default(), world, stop)
}

fn fed(hub: Hub, world: &World, stop: &CancellationToken) -> Arc<Hub> {
    let hub = Arc::new(hub);
    let (log, codecs) = (Arc::clone(&world.log), world.codecs.clone());
    tokio::spawn(run_feed(log, codecs, Arc::clone(&hub), FeedSettings::default(), stop.clone()));
    hub
}

pub(crate) async fn instance(
    world: &World,
    tokens: &Arc<Tokens>,
    settings: WebSocketSettings,
    stop: &CancellationToken,
) -> SocketAddr {
    instance_on(hub(world, stop), world, tokens, settings, stop).await
}

async fn instance_on(
    hub: Arc<Hub>,
    world: &World,
    tokens: &Arc<Tokens>,
    settings: WebSocketSettings,
    stop: &CancellationToken,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let parts = WebSocketParts {
        hub,
        database: world.database.clone(),
        verifier: Arc::clone(tokens) as Arc<dyn TokenVerifier>,
        leases: Arc::new(LocalLeases::default()),
    };
    tokio::spawn(run_websocket(listener, parts, settings, stop.clone()));
    address
}

pub(crate) async fn server_with(settings: WebSocketSettings) -> Server {
    server_on(Hub::default(), settings).await
}

pub(crate) async fn server_on(hub: Hub, settings: WebSocketSettings) -> Server {
    let world = World::new().await;
    world.sink();
    let tokens = Arc::new(Tokens::default());
    for n in 1..=9 {
        tokens.give(&format!("token-{n}"), user(n), false, 3_600);
    }
    tokens.give("admin", user(100), true, 3_600);
    let stop = world.shutdown.child_token();
    let hub = fed(hub, &world, &stop);
    let address = instance_on(Arc::clone(&hub), &world, &tokens, settings, &stop).await;
    Server { world, hub, address, tokens, stop }
}

pub(crate) async fn server() -> Server {
    server_with(WebSocketSettings::default()).await
}

pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

pub(crate) async fn connect_at(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Socket, u16> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    for (name, value) in headers {
        let name: tokio_tungstenite::tungstenite::http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    match timeout(PATIENCE, connect_async(request)).await.expect("an answer") {
        Ok((socket, _)) => Ok(Socket(socket)),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

impl Server {
    pub(crate) async fn connect(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Socket, u16> {
        connect_at(self.address, path, headers).await
    }

    pub(crate) async fn user(&self, n: u128) -> Socket {
        self.connect("/ws/orders", &[("authorization", &format!("Bearer token-{n}"))])
            .await
            .map_err(|code| panic!("{code}"))
            .unwrap()
    }
}

impl Socket {
    pub(crate) async fn say(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Message {
        let message = async {
            loop {
                match self.0.next().await.expect("open").unwrap() {
                    Message::Ping(_) | Message::Pong(_) => {}
                    message => return message,
                }
            }
        };
        timeout(PATIENCE, message).await.expect("a message")
    }

    /// The next message that still comes; none once the line is broken.
    pub(crate) async fn rest(&mut self) -> Option<Message> {
        timeout(PATIENCE, self.0.next()).await.expect("a message or an end")?.ok()
    }

    pub(crate) async fn json(&mut self) -> Value {
        let message = self.next().await;
        serde_json::from_str(message.to_text().unwrap()).unwrap_or_else(|_| panic!("{message:?}"))
    }

    /// Reads on until the socket is closed; the code.
    pub(crate) async fn closed(&mut self) -> u16 {
        let end = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(frame))) => {
                        return frame.map_or(1005, |frame| frame.code.into());
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => panic!("{error}"),
                    None => panic!("no close frame"),
                }
            }
        };
        timeout(PATIENCE, end).await.expect("an end")
    }

    pub(crate) async fn subscribe(&mut self, message: Value) -> Value {
        self.say(message.to_string()).await;
        loop {
            let answer = self.json().await;
            if answer["type"] != "event" {
                return answer;
            }
        }
    }
}
