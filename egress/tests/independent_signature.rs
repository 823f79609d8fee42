//! Our signatures, judged by the Python library of Standard Webhooks (PyPI
//! `standardwebhooks`).
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
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

/// A Python with the judge, installed once below the target folder.
fn python() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python/venv");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let made = Command::new(script).arg(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    PathBuf::from(String::from_utf8(made.stdout).unwrap().trim())
}

fn judge(python: &Path, secret: &str, signature: &str, timestamp: i64, body: &str) -> String {
    let headers = serde_json::json!({
        "webhook-id": "0190a0b0-0000-7000-8000-000000000001", "webhook-timestamp": timestamp.to_string(),
        "webhook-signature": signature
    });
    let case = serde_json::json!({"secret": secret, "headers": headers, "body": body});
    let mut python = Command::new(python)
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
    if std::env::var("RINGS").is_ok_and(|rings| rings == "fast") {
        return; // ring 5: needs Python and PyPI
    }
    let python = python();
    let secrets = [SECRET, OTHER].map(|text| Secret::parse(text).unwrap());
    let now = SystemClock.now().0 / 1_000_000;
    let body = r#"{"type":"order.paid","data":{"city":"Žluťoučký 🐎"}}"#;
    let signature = sign(&secrets, "0190a0b0-0000-7000-8000-000000000001", now, body.as_bytes());
    for secret in [SECRET, OTHER] {
        assert_eq!(judge(&python, secret, &signature, now, body).trim(), "ok");
    }
    assert!(judge(&python, SECRET, &signature, now, "{}").starts_with("refused"));
    assert!(judge(&python, SECRET, &signature, now - 1, body).starts_with("refused"));
}
