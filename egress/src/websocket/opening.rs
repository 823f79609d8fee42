//! Who a socket belongs to, before anything is sent to it.

use axum::extract::ws::{Message, WebSocket};
use schemas::UserId;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::auth::{Caller, TokenRefused};
use super::limits::Place;
use super::protocol::{self, ClientMessage, Close};
use super::upgrade::may_follow;

/// What is known of a socket when it opens.
pub(super) struct Seat {
    /// The user in the path.
    pub(super) wanted: Option<UserId>,
    /// None: the first message brings the token.
    pub(super) caller: Option<(Caller, Place)>,
    pub(super) token: String,
}

/// How a socket ends.
pub(super) enum End {
    Close(Close),
    /// The other side is gone.
    Gone,
}

/// The caller from the request, or from the first message within its time.
pub(super) async fn first_token(
    shared: &Shared,
    seat: &mut Seat,
    socket: &mut WebSocket,
) -> Result<(Caller, Place), End> {
    if let Some(counted) = seat.caller.take() {
        return Ok(counted);
    }
    let deadline = Instant::now() + shared.settings.auth_within;
    let token = loop {
        let message = tokio::select! {
            () = shared.shutdown.cancelled() => return Err(End::Close(Close::Restart)),
            message = timeout_at(deadline, socket.recv()) => message.map_err(|_| End::Close(Close::Unauthorized))?,
        };
        match incoming(message, shared.settings.max_message)? {
            None => {}
            Some(text) => match ClientMessage::parse(&text) {
                Ok(ClientMessage::Ping) => {
                    socket.send(Message::text("pong")).await.map_err(|_| End::Gone)?;
                }
                Ok(ClientMessage::Auth { token }) => break token,
                _ => return Err(End::Close(Close::Unauthorized)),
            },
        }
    };
    let caller = shared.verifier.verify(&token).await.map_err(|error| {
        End::Close(if error == TokenRefused::Invalid {
            Close::Unauthorized
        } else {
            Close::Restart
        })
    })?;
    if !may_follow(&caller, seat.wanted) {
        return Err(End::Close(Close::Forbidden));
    }
    let Some(place) = Place::take(&shared.leases, caller.user_id).await else {
        return Err(End::Close(Close::Limit));
    };
    seat.token = token;
    let said = socket.send(Message::text(protocol::authenticated(caller.user_id))).await;
    said.map_err(|_| End::Gone)?;
    Ok((caller, place))
}

/// The text of a message; none for frames that need no answer from here.
pub(super) fn incoming(
    message: Option<Result<Message, axum::Error>>,
    max: usize,
) -> Result<Option<String>, End> {
    match message {
        Some(Ok(Message::Text(text))) if text.len() > max => Err(End::Close(Close::TooBig)),
        Some(Ok(Message::Binary(bytes))) if bytes.len() > max => Err(End::Close(Close::TooBig)),
        Some(Ok(Message::Text(text))) => Ok(Some(text.to_string())),
        // No message of ours is binary: as text it is malformed.
        Some(Ok(Message::Binary(_))) => Ok(Some(String::new())),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) | None => Err(End::Gone),
        Some(Err(error)) => {
            let too_big = error.to_string().contains("too long");
            Err(if too_big { End::Close(Close::TooBig) } else { End::Gone })
        }
    }
}
