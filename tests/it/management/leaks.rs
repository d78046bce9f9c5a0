//! Searches for secrets in every answer, log line and database page after a full run with a key ring.
#![cfg(all(feature = "postgres", feature = "sqlite", feature = "tracing"))]

use std::cell::RefCell;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hookwire::allison::CallEnded;
use hookwire::contract::Rotation;
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{Clock as _, Secret};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::*;
use crate::stores::Whole;
use crate::{log_lines, postgres_server};

#[test]
fn no_secret_is_in_an_answer_that_is_not_to_show_it_nor_in_the_log_nor_in_a_sqlite_file() {
    let (run, log, database) = logged(async {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("hooks.db")).await.unwrap();
        let run = Run::full(store).await;
        (run, files_in(directory.path()))
    });
    run.judge(&log, &database);
}

#[test]
fn no_secret_is_in_an_answer_that_is_not_to_show_it_nor_in_the_log_nor_in_a_postgresql_table() {
    let (run, log, database) = logged(async {
        let prefix = postgres_server::prefix();
        let store = PostgresStore::builder().with_prefix(prefix.clone()).with_caller_time();
        let run = Run::full(store.connect(postgres_server::url()).await.unwrap()).await;
        (run, tables_of(&prefix).await)
    });
    run.judge(&log, &database);
}

/// The answers, and the secrets that could be in them.
struct Run {
    wire: Wire,
    answers: RefCell<Vec<(String, String)>>,
    /// Each secret with the index of the one answer that may show it.
    secrets: RefCell<Vec<(Secret, Option<usize>)>>,
    url: String,
}

impl Run {
    async fn full<S: Whole>(store: S) -> Self {
        let store = Arc::new(store);
        let clock = ManualClock::new(OffsetDateTime::now_utc().replace_nanosecond(0).unwrap());
        let ring = Arc::new(KeyRing::new("2026-11", Key::generate()).unwrap());
        let contract = Contract::standard_webhooks()
            .with_catalogue(*Contract::allison().catalogue())
            .with_rotation(Rotation::Overlap(Duration::from_secs(600)));
        let service = Service::new(Arc::clone(&store), contract.clone())
            .with_address_policy(loopback())
            .with_client(HyperClient::new())
            .with_clock(clock.clone())
            .with_key_ring(Arc::clone(&ring));
        let dispatcher = Dispatcher::new(Arc::clone(&store), HyperClient::new(), contract.clone())
            .with_address_policy(loopback())
            .with_clock(clock.clone())
            .with_key_ring(ring);
        let outbox = Outbox::new(store, contract).with_clock(clock.clone());
        let endpoint = Endpoint::start([]).await;
        let run = Self {
            wire: Wire::serve(router(service).layer(middleware::from_fn(authenticate))).await,
            answers: RefCell::default(),
            secrets: RefCell::default(),
            url: endpoint.url().to_string(),
        };
        let ids = run.subscriptions().await;
        for (count, status) in [200, 503, 410].into_iter().enumerate() {
            endpoint.answers(status);
            outbox.emit("org_1", &Envelope::new(CallEnded::new(format!("c{count}")))).await.unwrap();
            for _ in 0..3 {
                let step = dispatcher.step(clock.now()).await.unwrap();
                clock.advance(step.next_due.unwrap_or_default().min(Duration::from_secs(60)));
            }
        }
        assert!(endpoint.requests().len() >= 3 * ids.len(), "they were all sent to");
        run.reads(&ids).await;
        run.mistakes(&ids).await;
        run
    }

    /// Creates a subscription for each kind of authentication, with given and generated secrets, then changes
    /// each and rotates its secret.
    async fn subscriptions(&self) -> Vec<String> {
        let [password, token, key] = [(); 3].map(|()| self.hidden());
        let mut ids = Vec::new();
        for (authentication, given) in [
            (json!({"type": "none"}), None),
            (
                json!({"type": "basic", "user": "acme", "password": password.expose()}),
                Some(Secret::generate()),
            ),
            (json!({"type": "bearer", "token": bearer(&token)}), None),
            (
                json!({"type": "api_key", "header": "x-api-key", "key": key.expose()}),
                Some(Secret::generate()),
            ),
        ] {
            let mut draft = json!({"url": self.url, "events": ["*"], "authentication": authentication});
            if let Some(secret) = &given {
                draft["secret"] = secret.expose().into();
            }
            let made = self.shows(SUBSCRIPTIONS, draft.clone(), given.as_ref()).await;
            let id = text(&made["data"]["id"]);
            if given.is_some() {
                draft["url"] = format!("{}/again", self.url).into();
                self.send(409, POST, SUBSCRIPTIONS, &draft).await;
            }
            self.send(200, "PATCH", &at("", &id), &json!({"max_in_flight": 3})).await;
            let draft = json!({"url": self.url, "events": ["call.*"], "authentication": authentication});
            self.send(200, "PUT", &at("", &id), &draft).await;
            let given = Secret::generate();
            let path = at("/rotate-secret", &id);
            let body = json!({"overlap_seconds": 60, "secret": given.expose()});
            self.shows(&path, body, Some(&given)).await;
            self.shows(&path, json!({"overlap_seconds": 600}), None).await;
            ids.push(id);
        }
        ids
    }

    async fn reads(&self, ids: &[String]) {
        for id in ids {
            self.send(200, POST, &at("/test", id), &json!({})).await;
            for path in ["", "/statistics", "/deliveries"] {
                self.send(200, "GET", &at(path, id), &Value::Null).await;
            }
            let deliveries = self.send(200, "GET", &at("/deliveries", id), &Value::Null).await;
            for delivery in deliveries.json()["data"].as_array().unwrap() {
                let path = at(&format!("/deliveries/{}", text(&delivery["id"])), id);
                self.send(200, "GET", &path, &Value::Null).await;
            }
            self.send(200, "PATCH", &at("", id), &json!({"enabled": true})).await;
            self.send(200, POST, &at("/replay", id), &Value::Null).await;
        }
        for path in [SUBSCRIPTIONS, "/v1/dead-letters", "/v1/events", "/v1/event-types", "/v1/openapi.json"] {
            self.send(200, "GET", path, &Value::Null).await;
        }
        let events = self.send(200, "GET", "/v1/events", &Value::Null).await.json();
        for event in events["data"].as_array().unwrap() {
            let path = format!("/v1/events/{}", text(&event["id"]));
            self.send(200, "GET", &path, &Value::Null).await;
            self.send(200, "GET", &format!("{path}/deliveries"), &Value::Null).await;
        }
    }

    /// Sends a secret in every wrong place.
    async fn mistakes(&self, ids: &[String]) {
        let secret = self.hidden();
        let secret = secret.expose();
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let draft = |name: &str, value: Value| {
            let mut draft = json!({"url": self.url, "events": ["*"]});
            draft[name] = value;
            draft
        };
        let own = at("", &ids[0]);
        for (name, value) in [
            ("url", json!(secret)),
            ("url", json!(format!("https://acme:{encoded}@example.com/"))),
            ("url", json!(format!("https://10.0.0.1/{secret}"))),
            ("events", json!([secret])),
            ("events", json!([format!("{secret}.*")])),
            ("events", json!(secret)),
            ("enabled", json!(secret)),
            ("max_in_flight", json!(secret)),
            ("rate", json!({"per_second": secret})),
            ("rate", json!({"per_second": 1, secret: 1})),
            ("retry", json!({"type": secret})),
            ("retry", json!({"type": "delays", "seconds": [secret]})),
            ("conditions", json!([{"pointer": secret, "values": [1]}])),
            ("conditions", json!([{"part": secret, "pointer": "/a", "values": [1]}])),
            ("attributes", json!({secret: []})),
            ("attributes", json!({secret: 1})),
            ("headers", json!({secret: "x"})),
            ("headers", json!({"host": secret})),
            ("headers", json!({"x-key": format!("{secret}\n")})),
            ("authentication", json!({"type": secret})),
            ("authentication", json!({"type": "bearer", "token": format!("{secret}!")})),
            ("authentication", json!({"type": "bearer", secret: "x"})),
            ("authentication", json!({"type": "api_key", "header": secret, "key": "k"})),
            ("authentication", json!({"type": "basic", "user": format!("a:{secret}"), "password": "p"})),
            ("allo_number", json!(secret)),
            ("secret", json!(format!("{secret}!"))),
            ("secret", json!(&secret[..30])),
            (secret, json!(1)),
        ] {
            let body = draft(name, value);
            self.send(400, POST, SUBSCRIPTIONS, &body).await;
            self.send(400, "PUT", &own, &body).await;
        }
        for body in [format!("{{\"secret\": \"{secret}\""), secret.to_owned(), format!("\"{secret}\"")] {
            self.raw(400, POST, SUBSCRIPTIONS, &[], &body).await;
        }
        for (path, body) in [
            ("/rotate-secret", json!({"overlap_seconds": secret})),
            ("/rotate-secret", json!({"secret": &secret[..30]})),
            ("/rotate-secret", json!({secret: 1})),
            ("/test", json!({"event_type": secret})),
            ("/recover", json!({"since": secret})),
        ] {
            self.send(400, POST, &at(path, &ids[0]), &body).await;
        }
        for path in [
            format!("{SUBSCRIPTIONS}?after={encoded}"),
            format!("{SUBSCRIPTIONS}?{encoded}=1"),
            at(&format!("/deliveries?state={encoded}"), &ids[0]),
            at(&format!("/statistics?since={encoded}"), &ids[0]),
        ] {
            self.send(400, "GET", &path, &Value::Null).await;
        }
        self.send(404, "GET", &at("", &encoded), &Value::Null).await;
        self.send(404, "GET", &format!("/v1/events/{encoded}"), &Value::Null).await;
        self.raw(400, "PATCH", &own, &[("if-match", secret)], "{}").await;
        let spaced = format!("{secret} {secret}");
        let body = draft("enabled", json!(false)).to_string();
        self.raw(400, POST, SUBSCRIPTIONS, &[("idempotency-key", &spaced)], &body).await;
    }

    /// A secret that no answer may show.
    fn hidden(&self) -> Secret {
        let secret = Secret::generate();
        self.secrets.borrow_mut().push((secret.clone(), None));
        secret
    }

    /// A call whose answer shows a secret. `given` is the secret if the caller chose it.
    async fn shows(&self, path: &str, body: Value, given: Option<&Secret>) -> Value {
        let status = if path == SUBSCRIPTIONS { 201 } else { 200 };
        let told = self.send(status, POST, path, &body).await.json();
        let shown: Secret = text(&told["secret"]).parse().unwrap();
        assert!(given.is_none_or(|given| *given == shown));
        self.secrets.borrow_mut().push((shown, Some(self.answers.borrow().len() - 1)));
        told
    }

    async fn send(&self, status: u16, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(status, method, path, &[], &body).await
    }

    async fn raw(
        &self,
        status: u16,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        let answer = self.wire.raw(method, path, WRITER, &headers, body).await;
        let asked = format!("{method} {path} {headers:?} {body}");
        assert_eq!(answer.status, status, "{asked}: {answer:?}");
        self.answers.borrow_mut().push((asked, format!("{:?}\n{}", answer.headers, answer.body)));
        answer
    }

    fn judge(&self, log: &[u8], database: &[u8]) {
        assert!(contains(log, b"attempt{"), "the crate's own lines are in the log");
        assert!(contains(database, self.url.as_bytes()), "the subscriptions are in the database");
        let answers = self.answers.borrow();
        for (secret, shown) in &*self.secrets.borrow() {
            for needle in needles(secret) {
                let what = String::from_utf8_lossy(&needle);
                for (number, (asked, answer)) in answers.iter().enumerate() {
                    let is_shown = contains(answer.as_bytes(), &needle);
                    let is_to_be = *shown == Some(number);
                    assert!(is_to_be || !is_shown, "the answer to {asked} has {what}: {answer}");
                }
                assert!(!contains(log, &needle), "the log has {what}");
                assert!(!contains(database, &needle), "the database has {what}");
            }
            if let Some(number) = shown {
                assert!(answers[*number].1.contains(secret.expose()), "the search finds what is there");
            }
        }
    }
}

/// The result of `run`, and the log of this thread meanwhile.
fn logged<A, B>(run: impl Future<Output = (A, B)>) -> (A, Vec<u8>, B) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ((run, database), log) = log_lines::logged(tracing::Level::TRACE, || runtime.block_on(run));
    (run, log.into_bytes(), database)
}

/// Every byte of the file, its log and the log's index.
fn files_in(directory: &Path) -> Vec<u8> {
    let files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
}

/// Every row of every table as text, with bytes in hex.
async fn tables_of(prefix: &str) -> Vec<u8> {
    let mut connection = PgConnection::connect(postgres_server::url()).await.unwrap();
    let tables = sqlx::query("SELECT tablename FROM pg_tables WHERE starts_with(tablename, $1)")
        .bind(prefix)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut everything = Vec::new();
    for table in tables {
        let sql = format!("SELECT t::text FROM {} AS t", table.get::<String, _>(0));
        for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap() {
            everything.extend_from_slice(row.get::<String, _>(0).as_bytes());
        }
    }
    connection.close().await.unwrap();
    everything
}

/// The forms in which a secret could be found: its text, its key, a password's header, and hex.
fn needles(secret: &Secret) -> Vec<Vec<u8>> {
    let text = secret.expose();
    let base64 = text.strip_prefix("whsec_").unwrap().trim_end_matches('=');
    let key = STANDARD.decode(text.strip_prefix("whsec_").unwrap()).unwrap();
    let pair = STANDARD.encode(format!("acme:{text}"));
    let listed = format!("{key:?}");
    let forms = [text, &bearer(secret), base64, &pair, &listed[1..listed.len() - 1]]
        .map(|form| form.as_bytes().to_vec());
    let hex = [hex::encode(&key), hex::encode(text), hex::encode(base64), URL_SAFE_NO_PAD.encode(&key)];
    forms.into_iter().chain([key]).chain(hex.map(String::into_bytes)).collect()
}

/// The same random bytes as a token that RFC 6750 allows.
fn bearer(secret: &Secret) -> String {
    secret.expose().trim_start_matches("whsec_").trim_end_matches('=').replace('/', "-")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let mut rest = haystack;
    while let Some(at) = rest.iter().position(|byte| *byte == needle[0]) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}
