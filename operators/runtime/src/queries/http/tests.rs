//! Who is answered, through the routes as they are served.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::Worker;
use crate::queries::fixture::{Nobody, worker};
use crate::queries::{Render, render_plain};

const TOKEN: &str = "0123456789abcdef";
const HERE: [u8; 4] = [127, 0, 0, 1];
const THERE: [u8; 4] = [10, 0, 0, 1];
const LOCAL: (&str, &str) = ("host", "127.0.0.1:9100");
const KEY: &str = "/stores/words/counts?key=a";

/// A door, and the worker that owns what is behind it as long as it is there.
fn door(token: Option<&str>, render: Arc<Render>) -> (QueryDoor, Worker) {
    let worker = worker();
    let queries = worker.queries(Arc::new(Nobody), render);
    (QueryDoor::new(vec![queries], token), worker)
}

fn ask(door: &QueryDoor, caller: [u8; 4], headers: &[(&str, &str)], path: &str) -> (u16, Value) {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from((caller, 1))));
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let answer = routes::<()>(door.clone()).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    })
}

#[test]
fn a_name_that_may_be_anybodys_is_not_this_machine() {
    for host in ["127.0.0.1:9100", "localhost", "localhost:1", "[::1]:9100", "10.0.0.1"] {
        assert!(is_by_address(host), "{host}");
    }
    for host in ["evil.example", "evil.example:9100", "localhost.evil.example", ""] {
        assert!(!is_by_address(host), "{host}");
    }
}

#[test]
fn without_a_token_only_this_machine_is_answered() {
    let (door, _worker) = door(None, Arc::new(render_plain));
    let (status, answer) = ask(&door, HERE, &[LOCAL], KEY);
    assert_eq!((status, &answer["rows"][0]["value"]), (200, &Value::from(1)), "{answer}");
    let (status, listed) = ask(&door, HERE, &[LOCAL], "/stores");
    assert_eq!((status, &listed[0]["store"]), (200, &Value::from("counts")));
    for path in [KEY, "/stores"] {
        for (caller, headers) in [
            (THERE, vec![LOCAL]),
            (THERE, vec![LOCAL, ("authorization", "Bearer ")]),
            (HERE, vec![("host", "evil.example")]),
            (HERE, vec![]),
            (HERE, vec![LOCAL, ("x-forwarded-for", "10.0.0.1")]),
            (HERE, vec![LOCAL, ("forwarded", "for=10.0.0.1")]),
            (HERE, vec![LOCAL, ("via", "1.1 proxy")]),
        ] {
            let (status, problem) = ask(&door, caller, &headers, path);
            assert_eq!((status, &problem["code"]), (403, &Value::from("refused")), "{headers:?}");
        }
    }
}

#[test]
fn with_a_token_whoever_has_it_is_answered() {
    let (door, _worker) = door(Some(TOKEN), Arc::new(render_plain));
    let bearer = format!("Bearer {TOKEN}");
    for path in [KEY, "/stores"] {
        assert_eq!(ask(&door, THERE, &[("authorization", &bearer)], path).0, 200);
        for wrong in ["Bearer 0123456789abcdeg", "Bearer 0123456789abcdef0", "Bearer", TOKEN] {
            let (status, _) = ask(&door, HERE, &[LOCAL, ("authorization", wrong)], path);
            assert_eq!(status, 403, "{wrong}");
        }
        assert_eq!(ask(&door, HERE, &[LOCAL], path).0, 403);
    }
    assert!(!format!("{door:?}").contains(TOKEN));
}

#[test]
fn what_cannot_be_answered_says_why() {
    let (door, _worker) = door(None, Arc::new(render_plain));
    let too_long = format!("{KEY}&from={}", "x".repeat(QUERY_MAX));
    for (path, status, code) in [
        ("/stores/other/counts", 404, "application_unknown"),
        ("/stores/words/other", 404, "store_unknown"),
        ("/stores/words/counts?kee=a", 422, "query_invalid"),
        (&too_long, 422, "query_invalid"),
        ("/stores/words/counts?key=a&instance=two", 421, "another_instance"),
    ] {
        let (found, problem) = ask(&door, HERE, &[LOCAL], path);
        assert_eq!((found, problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
    let nothing = QueryDoor::new(Vec::new(), None);
    let (_, problem) = ask(&nothing, HERE, &[LOCAL], KEY);
    assert_eq!(problem["detail"], "this process doesn't run words; it runs none");
}

#[test]
fn stale_answers_are_allowed_by_name() {
    let (door, _worker) = door(None, Arc::new(render_plain));
    for stale in ["never", "allow", "prefer"] {
        let (status, answer) = ask(&door, HERE, &[LOCAL], &format!("{KEY}&stale={stale}"));
        assert_eq!((status, &answer["rows"][0]["value"]), (200, &Value::from(1)), "{answer}");
        assert_eq!(answer["from"][0].get("standby"), None, "the owner is asked");
    }
    let (status, problem) = ask(&door, HERE, &[LOCAL], &format!("{KEY}&stale=often"));
    assert_eq!((status, problem["code"].as_str()), (422, Some("query_invalid")));
}

#[test]
fn queries_of_members_have_places_of_their_own() {
    let (door, _worker) = door(None, Arc::new(render_plain));
    let most = u32::try_from(AT_ONCE_MAX).unwrap();
    let passed_on = format!("{KEY}&instance=one");
    let outer = door.at_once.clone().try_acquire_many_owned(most).unwrap();
    assert_eq!(ask(&door, HERE, &[LOCAL], KEY).1["code"], "busy");
    assert_eq!(ask(&door, HERE, &[LOCAL], &passed_on).0, 200);
    drop(outer);
    let _passed_on = door.passed_on.clone().try_acquire_many_owned(most).unwrap();
    assert_eq!(ask(&door, HERE, &[LOCAL], KEY).0, 200);
    assert_eq!(ask(&door, HERE, &[LOCAL], &passed_on).1["code"], "busy");
}

#[test]
fn a_query_that_panics_is_a_failure_of_ours() {
    let (door, _worker) = door(None, Arc::new(|_: &str, _: &[u8]| panic!("while it is shown")));
    let (status, problem) = ask(&door, HERE, &[LOCAL], KEY);
    assert_eq!((status, problem["code"].as_str()), (500, Some("query_failed")));
    assert_eq!(door.at_once.available_permits(), AT_ONCE_MAX, "its place is free again");
}
