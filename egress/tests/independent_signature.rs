//! Our signatures, judged by the Python library of Standard Webhooks (PyPI
//! `standardwebhooks`), where it is installed.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use egress::clock::{Clock as _, SystemClock};
use egress::webhooks::signature::{Secret, sign};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const JUDGE: &str = "
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
case = json.load(sys.stdin)
try:
    Webhook(case['secret']).verify(case['body'].encode(), case['headers'])
    print('ok')
except WebhookVerificationError as error:
    print('refused', error)
";

fn judge(secret: &str, signature: &str, timestamp: i64, body: &str) -> String {
    let headers = serde_json::json!({
        "webhook-id": "0190a0b0-0000-7000-8000-000000000001", "webhook-timestamp": timestamp.to_string(),
        "webhook-signature": signature
    });
    let case = serde_json::json!({"secret": secret, "headers": headers, "body": body});
    let mut python = Command::new("python3")
        .args(["-c", JUDGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(case.to_string().as_bytes()).unwrap();
    String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn python_accepts_ours_and_refuses_a_changed_body() {
    let installed = Command::new("python3")
        .args(["-c", "import standardwebhooks"])
        .stderr(Stdio::null())
        .status();
    if !installed.is_ok_and(|status| status.success()) {
        eprintln!("not judged: python3 with `pip install standardwebhooks` is missing");
        return;
    }
    let secrets = [SECRET, OTHER].map(|text| Secret::parse(text).unwrap());
    let now = SystemClock.now().0 / 1_000_000;
    let body = r#"{"type":"order.paid","data":{"city":"Žluťoučký 🐎"}}"#;
    let signature = sign(&secrets, "0190a0b0-0000-7000-8000-000000000001", now, body.as_bytes());
    for secret in [SECRET, OTHER] {
        assert_eq!(judge(secret, &signature, now, body).trim(), "ok");
    }
    assert!(judge(SECRET, &signature, now, "{}").starts_with("refused"));
    assert!(judge(SECRET, &signature, now - 1, body).starts_with("refused"));
}
