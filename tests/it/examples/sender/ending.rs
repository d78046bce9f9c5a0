//! The end of the program, graceful or not, and the state that it leaves.

use std::collections::HashSet;
use std::time::Duration;

use hookwire::sqlx::{Connection as _, Executor as _, PgConnection};
use http::Request;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{EVENTS, SUBSCRIPTIONS, Sender, ids};
use crate::endpoint::{Answer, Endpoint};
use crate::postgres_server;

#[tokio::test]
async fn told_to_end_it_takes_nothing_more_ends_what_is_under_way_and_leaves_the_rest_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sender.db");
    let endpoint = Endpoint::start([Answer::Hang, Answer::Hang]).await;
    let mut sender = Sender::on_sqlite("allison", &file, &[]);
    let draft = json!({"url": endpoint.url().as_str(), "events": ["*"], "max_in_flight": 2});
    sender.subscribe(draft).await;
    let mut emitted = HashSet::new();
    for call in 0..10 {
        emitted.insert(sender.emit_call(&format!("c-{call}")).await);
    }
    endpoint.arrived(2).await;
    sender.signal("TERM");
    let health = || Request::get(format!("{}/healthz", sender.url)).body(bytes::Bytes::new()).unwrap();
    while sender.send(health()).await.is_some() {
        sleep(Duration::from_millis(10)).await;
    }
    // Leave enough time for a program that would not wait for its attempts.
    for _ in 0..50 {
        assert!(sender.child.try_wait().unwrap().is_none(), "two attempts are under way");
        sleep(Duration::from_millis(10)).await;
    }
    endpoint.let_go(200);
    sender.ended().await;
    assert_eq!(endpoint.requests().len(), 2, "no others were begun");

    let next = Sender::on_sqlite("allison", &file, &[]);
    endpoint.arrived(10).await;
    let list = format!("{EVENTS}?limit=20");
    assert_eq!(next.get(&list).await.json()["data"].as_array().unwrap().len(), 10);
    let arrived = ids(&next, &endpoint);
    assert_eq!(arrived.len(), 10, "each came once");
    assert_eq!(arrived.into_iter().collect::<HashSet<_>>(), emitted);
}

#[tokio::test]
async fn what_one_of_two_senders_had_begun_when_it_was_killed_the_other_delivers() {
    let store = schema_of_its_own().await;
    let endpoint = Endpoint::start((0..5).map(|_| Answer::Hang)).await;
    let killed = Sender::start("allison", &store, &[]);
    let draft = json!({"url": endpoint.url().as_str(), "events": ["*"]});
    let (id, secret) = killed.subscribe(draft).await;
    for call in 0..5 {
        killed.emit_call(&format!("begun-{call}")).await;
    }
    endpoint.arrived(5).await;

    // If one process does not answer, emit the event again at the other one, with the same id.
    let other = Sender::start("allison", &store, &[]);
    for call in 0..40 {
        if call == 20 {
            killed.signal("KILL");
        }
        let event =
            json!({"id": format!("evt_{call}"), "type": "call.ended", "data": {"call_id": call.to_string()}});
        let request = |sender: &Sender| {
            Request::post(format!("{}{EVENTS}", sender.url))
                .header("authorization", "Bearer acme-key")
                .header("content-type", "application/json")
                .body(event.to_string().into())
                .unwrap()
        };
        let first = if call % 2 == 0 { &killed } else { &other };
        let answer = match first.send(request(first)).await {
            Some(answer) => answer,
            None => other.send(request(&other)).await.expect("the other answers"),
        };
        assert!(matches!(answer.status(), 200 | 202), "{}", answer.text());
    }
    endpoint.let_go(200);
    let path = format!("{SUBSCRIPTIONS}/{id}/deliveries?limit=200&state=");
    let count = |told: &Value| told["data"].as_array().unwrap().len();
    other.until(&format!("{path}delivered"), |told| count(told) == 45).await;
    assert_eq!(count(&other.get(&format!("{path}pending")).await.json()), 0);
    let arrived: HashSet<_> = ids(&other, &endpoint).into_iter().collect();
    assert_eq!(arrived.len(), 45, "every event arrived");
    for request in endpoint.requests().iter() {
        assert!(other.received(request, secret.as_ref()).is_ok());
    }
}

#[tokio::test]
async fn what_one_sender_has_no_room_for_another_on_the_same_postgres_sends() {
    let store = schema_of_its_own().await;
    let endpoint = Endpoint::start([Answer::Hang]).await;
    let busy = Sender::start("standard_webhooks", &store, &[]);
    busy.subscribe(json!({"url": endpoint.url().as_str(), "events": ["*"], "max_in_flight": 1})).await;
    let event = json!({"type": "order.paid", "data": {}});
    busy.post(EVENTS, event.clone()).await;
    endpoint.arrived(1).await;

    let other = Sender::start("standard_webhooks", &store, &[]);
    let emitted = busy.post(EVENTS, event).await.json();
    let path = format!("{EVENTS}/{}/deliveries", emitted["id"].as_str().unwrap());
    other.until(&path, |told| told["data"][0]["state"] == "delivered").await;
    let delivered = async |sender: &Sender| {
        let numbers = sender.get("/metrics").await;
        numbers.text().contains("hookwire_attempts_total{outcome=\"delivered\"} 1\n")
    };
    assert!(delivered(&other).await);
    assert!(!delivered(&busy).await);
    endpoint.let_go(200);
}

/// The program takes no table prefix, so each test has a schema.
async fn schema_of_its_own() -> String {
    let (url, schema) = (postgres_server::url(), postgres_server::prefix());
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute(hookwire::sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await.unwrap();
    let more = if url.contains('?') { '&' } else { '?' };
    format!("{url}{more}options=-csearch_path%3D{schema}")
}
