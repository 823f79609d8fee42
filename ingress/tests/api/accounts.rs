//! Registration, login, refresh families, logout.

use ingress::auth::{Role, TokenSettings, Tokens};
use ingress::limits::Tier;
use ingress::{AppState, StartFailure};
use serde_json::{Value, json};

use crate::harness::{Answer, GUIDE, Harness, SECRET, settings};

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";

async fn call(harness: &Harness, action: &str, body: Value) -> Answer {
    harness
        .call("POST", &format!("/api/v1/auth/{action}"), None, &[], Some(&body.to_string()))
        .await
}

async fn registered(harness: &Harness) -> Value {
    call(harness, "register", json!({"email": " Ada@Example.com ", "password": PASSWORD, "role": "admin", "tier": "enterprise"})).await.expect(201).json()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap()
}

#[tokio::test]
async fn registering_gives_a_standard_customer_whatever_the_body_asks_for() {
    let harness = Harness::start().await;
    let tokens = registered(&harness).await;
    assert_eq!(
        (tokens["token_type"].as_str(), tokens["expires_in"].as_i64()),
        (Some("bearer"), Some(900))
    );
    let me =
        harness.get("/api/v1/users/me", text(&tokens, "access_token")).await.expect(200).json();
    assert_eq!(me["user_id"], tokens["user_id"]);
    assert_eq!(
        (text(&me, "email"), text(&me, "role"), text(&me, "tier")),
        (EMAIL, "customer", "standard")
    );
    assert!(text(&me, "created_at").ends_with('Z'));
    call(&harness, "register", json!({"email": "ADA@example.com", "password": PASSWORD}))
        .await
        .problem(409, "email_taken");
    for bad in [
        json!({"email": "ada", "password": PASSWORD}),
        json!({"email": "b@example.com", "password": "elevenchars"}),
        json!({"email": "b@example.com", "password": "x".repeat(129)}),
        json!({"email": "b@example.com"}),
        json!({"email": "b@example.com", "password": PASSWORD, "admin": true}),
    ] {
        let answer = call(&harness, "register", bad).await;
        assert!(!answer.text.contains("elevenchars"));
        answer.problem(422, "invalid_request");
    }
}

#[tokio::test]
async fn login_needs_the_password_and_tells_nothing_else() {
    let harness = Harness::start().await;
    registered(&harness).await;
    let good = call(&harness, "login", json!({"email": EMAIL, "password": PASSWORD}))
        .await
        .expect(200)
        .json();
    harness.get("/api/v1/users/me", text(&good, "access_token")).await.expect(200);
    let wrong = call(&harness, "login", json!({"email": EMAIL, "password": "wrong horse battery"}))
        .await
        .problem(401, "wrong_credentials");
    let nobody = call(&harness, "login", json!({"email": "bob@example.com", "password": PASSWORD}))
        .await
        .problem(401, "wrong_credentials");
    assert_eq!(wrong["detail"], nobody["detail"]);
}

#[tokio::test]
async fn failed_logins_are_limited_per_account_and_success_clears_them() {
    let mut settings = settings();
    settings.limits.enabled = true;
    settings.limits.login_failures = 3;
    let harness = Harness::with(settings).await;
    registered(&harness).await;
    let attempt = async |password: &str| {
        call(&harness, "login", json!({"email": EMAIL, "password": password})).await
    };
    attempt("wrong wrong wrong").await.expect(401);
    attempt("wrong wrong wrong").await.expect(401);
    attempt(PASSWORD).await.expect(200);
    for _ in 0..3 {
        attempt("wrong wrong wrong").await.expect(401);
    }
    let refused = attempt(PASSWORD).await;
    assert!(refused.header("retry-after").is_some());
    assert_eq!(refused.header("x-ratelimit-limit"), Some("3"), "the scope that denied");
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    assert!(refused.header("ratelimit").unwrap().starts_with("\"login-failures\";r=0;t="));
    assert_eq!(refused.problem(429, "rate_limited")["violated_policy"], "login-failures");
    harness.advance(15 * 60);
    // The account's own scope has room for 30 failures an hour.
    for _ in 0..20 {
        attempt("wrong wrong wrong").await.expect(401);
        attempt(PASSWORD).await.expect(200);
    }
}

/// Holds a login at the moment where its session is written, changes the account,
/// and lets it go on.
async fn login_during(change: &'static str) -> (Harness, Answer) {
    let harness = Harness::start().await;
    registered(&harness).await;
    let login =
        async || call(&harness, "login", json!({"email": EMAIL, "password": PASSWORD})).await;
    let before = harness.looked();
    login().await.expect(200);
    let looks = harness.looked() - before;

    let read_model::Backend::Sqlite(connections) = harness.state.database().backend() else {
        panic!("not SQLite")
    };
    let mut writer = connections.durable.acquire().await.unwrap();
    let before = harness.looked();
    let meanwhile = async {
        // The last look at the clock comes before the session, after the password.
        while harness.looked() - before < looks {
            tokio::task::yield_now().await;
        }
        sqlx::query(change).execute(&mut *writer).await.unwrap();
        drop(writer);
    };
    let (answer, ()) = tokio::join!(login(), meanwhile);
    (harness, answer)
}

#[tokio::test]
async fn a_login_in_progress_does_not_outlive_a_new_password() {
    let (harness, answer) = login_during("UPDATE users SET password_hash = 'another'").await;
    answer.problem(401, "wrong_credentials");
    let read_model::Backend::Sqlite(connections) = harness.state.database().backend() else {
        panic!("not SQLite")
    };
    let ended: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM sessions WHERE revoked_at IS NOT NULL")
            .fetch_one(&connections.readers)
            .await
            .unwrap();
    assert_eq!(ended, 1, "its session is over");
}

#[tokio::test]
async fn a_login_in_progress_gets_the_role_of_after_a_change() {
    let (harness, answer) = login_during("UPDATE users SET role = 'admin', tier = 'premium'").await;
    let tokens = answer.expect(200).json();
    harness.get("/api/v1/admin/users", text(&tokens, "access_token")).await.expect(200);
}

#[tokio::test]
async fn refresh_rotates_and_reuse_ends_the_family() {
    let harness = Harness::start().await;
    let first = registered(&harness).await;
    let refresh =
        async |token: &str| call(&harness, "refresh", json!({"refresh_token": token})).await;
    harness.advance(1);
    let second = refresh(text(&first, "refresh_token")).await.expect(200).json();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let third = refresh(text(&second, "refresh_token")).await.expect(200).json();
    harness.get("/api/v1/users/me", text(&third, "access_token")).await.expect(200);
    refresh(text(&first, "refresh_token")).await.problem(401, "invalid_refresh_token");
    refresh(text(&third, "refresh_token")).await.problem(401, "invalid_refresh_token");
    harness
        .get("/api/v1/users/me", text(&third, "access_token"))
        .await
        .problem(401, "revoked_token");
    refresh("rt_unknown").await.problem(401, "invalid_refresh_token");
    let other = call(&harness, "login", json!({"email": EMAIL, "password": PASSWORD}))
        .await
        .expect(200)
        .json();
    harness.get("/api/v1/users/me", text(&other, "access_token")).await.expect(200);
}

#[tokio::test]
async fn two_refreshes_at_once_have_one_winner() {
    let harness = Harness::start().await;
    let first = registered(&harness).await;
    let body = || json!({"refresh_token": first["refresh_token"]});
    let (one, two) =
        tokio::join!(call(&harness, "refresh", body()), call(&harness, "refresh", body()));
    assert_eq!(
        [one.status.as_u16(), two.status.as_u16()].iter().filter(|status| **status == 200).count(),
        1
    );
}

#[tokio::test]
async fn sessions_expire() {
    let harness = Harness::start().await;
    let first = registered(&harness).await;
    harness.advance(30 * 86_400 + 1);
    call(&harness, "refresh", json!({"refresh_token": first["refresh_token"]}))
        .await
        .problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn logout_kills_both_tokens() {
    let harness = Harness::start().await;
    let tokens = registered(&harness).await;
    let access = text(&tokens, "access_token");
    let body = json!({"refresh_token": tokens["refresh_token"]});
    harness.post("/api/v1/auth/logout", access, &body).await.expect(204);
    harness.get("/api/v1/users/me", access).await.problem(401, "revoked_token");
    call(&harness, "refresh", body).await.problem(401, "invalid_refresh_token");
    call(&harness, "logout", json!({"refresh_token": "x"})).await.problem(401, "missing_token");
}

#[tokio::test]
async fn a_new_password_ends_all_other_sessions() {
    let harness = Harness::start().await;
    let other = registered(&harness).await;
    let own = call(&harness, "login", json!({"email": EMAIL, "password": PASSWORD}))
        .await
        .expect(200)
        .json();
    let change = async |current: &str, new: &str| {
        harness
            .post(
                "/api/v1/users/me/password",
                text(&own, "access_token"),
                &json!({"current_password": current, "new_password": new}),
            )
            .await
    };
    change("wrong wrong wrong", "a new long password").await.problem(403, "forbidden");
    change(PASSWORD, "short").await.problem(422, "invalid_request");
    change(PASSWORD, "a new long password").await.expect(204);
    harness.get("/api/v1/users/me", text(&own, "access_token")).await.expect(200);
    harness
        .get("/api/v1/users/me", text(&other, "access_token"))
        .await
        .problem(401, "revoked_token");
    call(&harness, "refresh", json!({"refresh_token": other["refresh_token"]}))
        .await
        .problem(401, "invalid_refresh_token");
    call(&harness, "refresh", json!({"refresh_token": own["refresh_token"]})).await.expect(200);
    call(&harness, "login", json!({"email": EMAIL, "password": PASSWORD}))
        .await
        .problem(401, "wrong_credentials");
    call(&harness, "login", json!({"email": EMAIL, "password": "a new long password"}))
        .await
        .expect(200);
}

#[tokio::test]
async fn the_first_administrator_is_made_once_and_the_guides_customer_exists() {
    let harness = Harness::start().await;
    let (accounts, passwords, now) =
        (harness.state.accounts(), harness.state.passwords(), harness.state.now());
    assert!(
        accounts
            .ensure_admin(passwords, "root@example.com", "a long admin password", now)
            .await
            .unwrap()
    );
    assert!(
        !accounts
            .ensure_admin(passwords, "other@example.com", "a long admin password", now)
            .await
            .unwrap()
    );
    assert!(accounts.ensure_admin(passwords, "x", "a long admin password", now).await.is_err());
    let tokens = call(
        &harness,
        "login",
        json!({"email": "root@example.com", "password": "a long admin password"}),
    )
    .await
    .expect(200)
    .json();
    harness.get("/api/v1/admin/users", text(&tokens, "access_token")).await.expect(200);
    accounts.ensure_guide_customer(now).await.unwrap();
    accounts.ensure_guide_customer(now).await.unwrap();
    let me = harness.get("/api/v1/users/me", &harness.customer()).await.expect(200).json();
    assert_eq!(me["user_id"], GUIDE);
    call(&harness, "login", json!({"email": me["email"], "password": "!"}))
        .await
        .problem(401, "wrong_credentials");
}

#[tokio::test]
async fn only_our_own_signature_opens_the_door() {
    let harness = Harness::start().await;
    let forger = Tokens::new(&TokenSettings::new("another secret, another secret!!"));
    let forged = forger
        .issue(GUIDE.parse().unwrap(), Role::Admin, Tier::Enterprise, None, harness.state.now())
        .unwrap();
    harness.get("/api/v1/orders", &forged).await.problem(401, "invalid_token");
    let claims = harness.customer().split('.').nth(1).unwrap().to_owned();
    // {"alg":"none","typ":"at+jwt"}
    harness
        .get("/api/v1/orders", &format!("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{claims}."))
        .await
        .problem(401, "invalid_token");
}

#[tokio::test]
async fn passwords_are_not_in_the_database_files() {
    let harness = Harness::start().await;
    let tokens = registered(&harness).await;
    harness.state.database().close().await;
    for file in std::fs::read_dir(harness.folder()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for secret in [PASSWORD, text(&tokens, "refresh_token"), SECRET] {
            assert!(
                !bytes.windows(secret.len()).any(|window| window == secret.as_bytes()),
                "a secret is stored as it is"
            );
        }
    }
}

#[tokio::test]
async fn a_placeholder_secret_stops_the_start() {
    let harness = Harness::start().await;
    let mut settings = settings();
    settings.tokens = TokenSettings::new("your-secret-key-change-in-production");
    let parts = ingress::Parts {
        settings,
        log: crate::harness::memory_log(),
        schemas: schemas::avro::Local::source(),
        database: harness.state.database().clone(),
        redis_url: None,
        sealer: read_model::seal::Sealer::new(&[0; 32]),
        clock: std::sync::Arc::new(|| schemas::Micros(0)),
    };
    let failure = AppState::start(parts).await.unwrap_err();
    assert!(
        matches!(failure, StartFailure::Configuration(_))
            && failure.to_string().contains("JWT_SECRET_KEY"),
        "{failure}"
    );
}
