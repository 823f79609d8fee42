//! What goes over the wire (`contract.md` §2): parsed and printed here only.

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::feed::{Position, Topic};

/// Why a socket is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    /// Bad, expired or late token.
    Unauthorized,
    /// Not yours.
    Forbidden,
    /// Too slow: resume.
    Slow,
    /// Too many sockets, messages or subscriptions.
    Limit,
    /// Message above 64 KiB.
    TooBig,
    /// The process stops, or lost its own place: reconnect and resume.
    Restart,
}

impl Close {
    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [Self; 6] =
        [Self::Unauthorized, Self::Forbidden, Self::Slow, Self::Limit, Self::TooBig, Self::Restart];

    pub(super) fn code(self) -> u16 {
        match self {
            Self::Unauthorized => 4401,
            Self::Forbidden => 4403,
            Self::Slow => 4408,
            Self::Limit => 4429,
            Self::TooBig => 1009,
            Self::Restart => 1012,
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Unauthorized => "bad, expired or late token",
            Self::Forbidden => "not yours",
            Self::Slow => "too slow: reconnect and resume",
            Self::Limit => "limit reached",
            Self::TooBig => "message too big",
            Self::Restart => "reconnect and resume",
        }
    }
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorCode {
    Malformed,
    UnknownType,
    BadTopic,
    BadPosition,
    Unauthorized,
    Forbidden,
    NotFound,
    Unavailable,
    TooManyMessages,
    TooManySubscriptions,
}

impl ErrorCode {
    /// All of them.
    #[cfg(test)]
    pub(super) const ALL: [Self; 10] = [
        Self::Malformed,
        Self::UnknownType,
        Self::BadTopic,
        Self::BadPosition,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Unavailable,
        Self::TooManyMessages,
        Self::TooManySubscriptions,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownType => "unknown_type",
            Self::BadTopic => "bad_topic",
            Self::BadPosition => "bad_position",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::TooManyMessages => "too_many_messages",
            Self::TooManySubscriptions => "too_many_subscriptions",
        }
    }
}

/// A message from a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientMessage {
    Ping,
    Auth { token: String },
    Refresh { token: String },
    Subscribe { topic: Topic, snapshot: bool, position: Option<Position> },
    Unsubscribe { topic: Topic },
}

/// A message nobody understands: code and sentence for the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misunderstood {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
struct Subscribe {
    topic: String,
    #[serde(default)]
    snapshot: bool,
    #[serde(default)]
    position: Option<Value>,
}

#[derive(Deserialize)]
struct Unsubscribe {
    topic: String,
}

impl ClientMessage {
    pub(super) fn parse(text: &str) -> Result<Self, Misunderstood> {
        if text == "ping" {
            return Ok(Self::Ping);
        }
        let malformed = |message: String| Misunderstood { code: ErrorCode::Malformed, message };
        let value: Value =
            serde_json::from_str(text).map_err(|_| malformed("not JSON".to_owned()))?;
        let kind = value
            .get("type")
            .and_then(Value::as_str)
            .ok_or_else(|| malformed("no type".to_owned()))?;
        let part = |error: serde_json::Error| malformed(error.to_string());
        let topic = |text: &str| {
            text.parse::<Topic>().map_err(|error| Misunderstood {
                code: ErrorCode::BadTopic,
                message: error.to_string(),
            })
        };
        match kind {
            "ping" => Ok(Self::Ping),
            // The token's own text must not come back in an error.
            "auth" | "refresh" => {
                let refresh = kind == "refresh";
                let Token { token } = serde_json::from_value(value)
                    .map_err(|_| malformed("token must be text".to_owned()))?;
                Ok(if refresh { Self::Refresh { token } } else { Self::Auth { token } })
            }
            "subscribe" => {
                let wish: Subscribe = serde_json::from_value(value).map_err(part)?;
                let position = wish
                    .position
                    .filter(|position| !position.is_null())
                    .map(position)
                    .transpose()?;
                Ok(Self::Subscribe {
                    topic: topic(&wish.topic)?,
                    snapshot: wish.snapshot,
                    position,
                })
            }
            "unsubscribe" => {
                let wish: Unsubscribe = serde_json::from_value(value).map_err(part)?;
                Ok(Self::Unsubscribe { topic: topic(&wish.topic)? })
            }
            _ => Err(Misunderstood {
                code: ErrorCode::UnknownType,
                message: "unknown message type".to_owned(),
            }),
        }
    }
}

fn position(value: Value) -> Result<Position, Misunderstood> {
    let bad = || Misunderstood {
        code: ErrorCode::BadPosition,
        message: "position must be {\"epoch\": text, \"offset\": whole number from 0}".to_owned(),
    };
    let position: Position = serde_json::from_value(value).map_err(|_| bad())?;
    if position.offset < 0 { Err(bad()) } else { Ok(position) }
}

pub(super) fn authenticated(user_id: schemas::UserId) -> String {
    json!({"type": "authenticated", "user_id": user_id}).to_string()
}

pub(super) fn error(code: ErrorCode, message: &str) -> String {
    json!({"type": "error", "code": code.as_str(), "message": message}).to_string()
}

/// The orders of a snapshot are JSON text from the database and go out as they
/// are.
pub(super) fn subscribed(
    topic: Topic,
    epoch: &str,
    offset: i64,
    recovered: bool,
    snapshot: Option<Vec<String>>,
) -> String {
    #[derive(serde::Serialize)]
    struct Subscribed<'a> {
        r#type: &'static str,
        topic: String,
        position: Position,
        recovered: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        snapshot: Option<Vec<&'a RawValue>>,
    }
    let orders: Option<Vec<&RawValue>> = snapshot.as_ref().map(|orders| {
        orders.iter().filter_map(|order| serde_json::from_str::<&RawValue>(order).ok()).collect()
    });
    let message = Subscribed {
        r#type: "subscribed",
        topic: topic.to_string(),
        position: Position { epoch: epoch.to_owned(), offset },
        recovered,
        snapshot: orders,
    };
    serde_json::to_string(&message).unwrap_or_else(|_| error(ErrorCode::Unavailable, "snapshot"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_may_say() {
        let user = "00000000-0000-0000-0000-000000000001";
        assert_eq!(ClientMessage::parse("ping"), Ok(ClientMessage::Ping));
        assert_eq!(
            ClientMessage::parse(r#"{"type":"refresh","token":"t"}"#),
            Ok(ClientMessage::Refresh { token: "t".to_owned() })
        );
        let subscribe = format!(
            r#"{{"type":"subscribe","topic":"user:{user}","position":{{"epoch":"e","offset":7}}}}"#
        );
        assert_eq!(
            ClientMessage::parse(&subscribe),
            Ok(ClientMessage::Subscribe {
                topic: format!("user:{user}").parse().unwrap(),
                snapshot: false,
                position: Some(Position { epoch: "e".to_owned(), offset: 7 })
            })
        );
        let code = |text: &str| ClientMessage::parse(text).unwrap_err().code.as_str();
        assert_eq!(code("pong"), "malformed");
        assert_eq!(code("{}"), "malformed");
        assert_eq!(code(r#"{"type":"dance"}"#), "unknown_type");
        assert_eq!(code(r#"{"type":"subscribe","topic":"user:me"}"#), "bad_topic");
        for position in [
            r#""7""#,
            "7",
            r#"{"epoch":"e"}"#,
            r#"{"epoch":"e","offset":-1}"#,
            r#"{"epoch":"e","offset":1.5}"#,
        ] {
            let text =
                format!(r#"{{"type":"subscribe","topic":"user:{user}","position":{position}}}"#);
            assert_eq!(code(&text), "bad_position", "{position}");
        }
    }

    #[test]
    fn a_bad_token_does_not_come_back() {
        let said = ClientMessage::parse(r#"{"type":"auth","token":["secret"]}"#).unwrap_err();
        assert!(!said.message.contains("secret"));
    }
}
