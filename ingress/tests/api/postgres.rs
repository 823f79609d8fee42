//! Accounts on PostgreSQL and Redis: the same statements, the other databases.
//!
//! Needs `DATABASE_TEST_URL` and `REDIS_URL` (`compose/dev/up`), except with
//! `RINGS=fast`.

use read_model::{Backend, Database, DatabaseOptions};
use serde_json::{Value, json};

use crate::harness::{Harness, body, memory_log, settings};
use crate::servers;

/// A schema of its own in the test database.
async fn scratch() -> Option<(Database, String)> {
    let url = servers::address("DATABASE_TEST_URL")?;
    let schema = format!("ingress_{}", uuid::Uuid::now_v7().simple());
    let admin = Database::connect(&url, &DatabaseOptions::default()).await.unwrap();
    run(&admin, format!("CREATE SCHEMA {schema}")).await;
    let separator = if url.contains('?') { '&' } else { '?' };
    let own = format!("{url}{separator}options=-c%20search_path%3D{schema}");
    Some((Database::connect(&own, &DatabaseOptions::default()).await.unwrap(), schema))
}

async fn run(database: &Database, statement: String) {
    let Backend::Postgres(pool) = database.backend() else { panic!("not PostgreSQL") };
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(pool).await.unwrap();
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap()
}

#[tokio::test]
async fn accounts_and_orders_work_on_postgres_and_redis() {
    let Some((database, schema)) = scratch().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let redis = servers::address("REDIS_URL");
    let harness = Harness::on(settings(), memory_log(), database.clone(), redis, folder).await;
    let call = async |action: &str, body: Value| {
        harness
            .call("POST", &format!("/api/v1/auth/{action}"), None, &[], Some(&body.to_string()))
            .await
    };
    let credentials = json!({"email": "ada@example.com", "password": "correct horse battery"});
    let first = call("register", credentials.clone()).await.expect(201).json();
    call("register", credentials.clone()).await.problem(409, "email_taken");
    let other = call("login", credentials.clone()).await.expect(200).json();
    harness.advance(1);

    let second =
        call("refresh", json!({"refresh_token": first["refresh_token"]})).await.expect(200).json();
    call("refresh", json!({"refresh_token": first["refresh_token"]}))
        .await
        .problem(401, "invalid_refresh_token");
    harness
        .get("/api/v1/users/me", text(&second, "access_token"))
        .await
        .problem(401, "revoked_token");

    let change = json!({"current_password": "correct horse battery", "new_password": "another horse battery"});
    let third = call("login", credentials).await.expect(200).json();
    harness
        .post("/api/v1/users/me/password", text(&third, "access_token"), &change)
        .await
        .expect(204);
    harness
        .get("/api/v1/users/me", text(&other, "access_token"))
        .await
        .problem(401, "revoked_token");
    let logout = json!({"refresh_token": third["refresh_token"]});
    harness.post("/api/v1/auth/logout", text(&third, "access_token"), &logout).await.expect(204);
    harness
        .get("/api/v1/users/me", text(&third, "access_token"))
        .await
        .problem(401, "revoked_token");

    let user = format!("/api/v1/admin/users/{}", text(&first, "user_id"));
    let changed = harness
        .call("PATCH", &user, Some(&harness.admin()), &[], Some(r#"{"tier":"premium"}"#))
        .await
        .expect(200)
        .json();
    assert_eq!((text(&changed, "tier"), text(&changed, "role")), ("premium", "customer"));
    let users =
        harness.get("/api/v1/admin/users?limit=1", &harness.admin()).await.expect(200).json();
    assert_eq!(users["data"][0], changed);
    harness.state.accounts().ensure_guide_customer(harness.state.now()).await.unwrap();

    let id = harness.placed().await;
    harness.get(&format!("/api/v1/orders/{id}"), &harness.customer()).await.expect(200);

    drop(harness);
    run(&database, format!("DROP SCHEMA {schema} CASCADE")).await;
}

#[tokio::test]
async fn what_is_accepted_can_be_kept() {
    let Some((database, schema)) = scratch().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let harness = Harness::on(settings(), memory_log(), database.clone(), None, folder).await;
    let most = format!(
        r#"{{"a":[1e100,-1e-100,{},"é\\t"],"deep":{}1{}}}"#,
        "9".repeat(100),
        "[".repeat(30),
        "]".repeat(30)
    );
    let extreme = body(|body| body["metadata"] = serde_json::from_str(&most).unwrap());
    let kept = harness.post("/api/v1/orders", &harness.customer(), &extreme).await.expect(201);
    assert_eq!(kept.json()["metadata"], extreme["metadata"]);
    drop(harness);
    run(&database, format!("DROP SCHEMA {schema} CASCADE")).await;
}
