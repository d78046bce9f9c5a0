//! Secrets at rest, with a key ring.

use std::path::Path;

use hookwire::Secret;
use hookwire::keyring::Key;
use serde_json::json;

use super::{SUBSCRIPTIONS, Sender};
use crate::endpoint::Endpoint;
use crate::examples::run;

#[tokio::test]
async fn with_a_key_ring_secrets_are_nowhere_but_in_the_two_answers_that_show_them() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring");
    std::fs::write(&ring, format!("# of this year\n\n2026 {}\n", *Key::generate().expose())).unwrap();
    let data = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    let mut sender =
        Sender::on_sqlite("allison", &data.path().join("sender.db"), &["--key-ring", ring.to_str().unwrap()]);
    let token = "tok_3cIJ8f0RrGmWq9ZxYvB5";
    let (id, first) = sender
        .subscribe(json!({
            "url": endpoint.url().as_str(), "events": ["*"], "authentication": {"type": "bearer", "token": token},
        }))
        .await;
    let path = format!("{SUBSCRIPTIONS}/{id}");
    sender.emit_call("c-1").await;
    endpoint.arrived(1).await;
    let rotated = sender.post(&format!("{path}/rotate-secret"), json!({})).await.json();
    let second: Secret = rotated["secret"].as_str().unwrap().parse().unwrap();
    endpoint.answers(500);
    let event = sender.emit_call("c-2").await;
    endpoint.arrived(2).await;
    for (at, secret) in [(0, first.as_ref().unwrap()), (1, &second)] {
        let request = endpoint.requests()[at].clone();
        assert!(sender.received(&request, Some(secret)).is_ok());
        assert_eq!(request.0["authorization"], format!("Bearer {token}"));
    }
    for path in
        [&path, SUBSCRIPTIONS, &format!("{path}/deliveries"), &format!("/v1/events/{event}"), "/metrics"]
    {
        assert_eq!(sender.get(path).await.status(), 200, "{path}");
    }
    // SQLite's log is a file as well, and it is emptied at the end.
    let mut kept = files(data.path());
    let said = sender.ended_by_sigterm().await;
    kept.extend(files(data.path()));
    assert!(
        kept.iter().any(|file| contains(file, id.trim_start_matches("sub_").as_bytes()) || file.len() > 4096)
    );
    let answers = sender.answers.lock().unwrap().clone();
    for (secret, shown) in [(first.unwrap().expose(), 1), (second.expose(), 1), (token, 0)] {
        for part in [secret, secret.trim_start_matches("whsec_")] {
            assert!(!contains(said.as_bytes(), part.as_bytes()), "{said}");
            assert!(!kept.iter().any(|file| contains(file, part.as_bytes())), "in the database");
            assert_eq!(answers.iter().filter(|body| contains(body, part.as_bytes())).count(), shown);
        }
    }
}

#[tokio::test]
async fn a_key_ring_that_opens_nothing_in_the_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ring) = (folder.path().join("sender.db"), folder.path().join("ring"));
    std::fs::write(&ring, format!("2026 {}\n", *Key::generate().expose())).unwrap();
    let endpoint = Endpoint::start([]).await;
    let mut sender = Sender::on_sqlite("allison", &file, &["--key-ring", ring.to_str().unwrap()]);
    sender.subscribe(json!({"url": endpoint.url().as_str(), "events": ["*"]})).await;
    sender.ended_by_sigterm().await;
    let other = folder.path().join("other");
    // A key of another name, and another key of the same name.
    for name in ["2027", "2026"] {
        std::fs::write(&other, format!("{name} {}\n", *Key::generate().expose())).unwrap();
        refuses(&file, &["--key-ring", other.to_str().unwrap()]);
    }
    refuses(&file, &[]);
    let mut sender = Sender::on_sqlite("allison", &file, &["--key-ring", ring.to_str().unwrap()]);
    sender.emit_call("c-1").await;
    endpoint.arrived(1).await;
    sender.ended_by_sigterm().await;
}

/// Checks that the program does not start with these flags, and says which key it lacks.
fn refuses(file: &Path, ring: &[&str]) {
    let store = format!("sqlite:{}", file.display());
    let flags =
        ["--listen", "127.0.0.1:0", "--contract", "allison", "--api-key", "k=acme", "--store", &store];
    let refused = run("sender", &[&flags[..], ring].concat(), b"");
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("no secret in the store opens"), "{}", refused.err);
    assert!(refused.err.contains("--key-ring: 2026"), "{}", refused.err);
}

#[tokio::test]
async fn secrets_move_from_the_clear_to_a_key_and_from_one_key_to_another_while_it_delivers() {
    let folder = tempfile::tempdir().unwrap();
    let (file, ring) = (folder.path().join("sender.db"), folder.path().join("ring"));
    let endpoint = Endpoint::start([]).await;
    let [old, new] = [(); 2].map(|()| Key::generate().expose().to_string());
    let mut sender = Sender::on_sqlite("allison", &file, &[]);
    let (_, secret) = sender.subscribe(json!({"url": endpoint.url().as_str(), "events": ["*"]})).await;
    let mut count = 0;
    for keys in [format!("old {old}"), format!("new {new}\nold {old}"), format!("new {new}")] {
        sender.ended_by_sigterm().await;
        std::fs::write(&ring, &keys).unwrap();
        sender = Sender::on_sqlite("allison", &file, &["--key-ring", ring.to_str().unwrap()]);
        count += 1;
        sender.emit_call("c-1").await;
        endpoint.arrived(count).await;
        let request = endpoint.requests()[count - 1].clone();
        assert!(sender.received(&request, secret.as_ref()).is_ok());
        if count < 3 {
            while !sender.said.lock().unwrap().contains("subscriptions sealed anew: 1\n") {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
    assert!(!sender.ended_by_sigterm().await.contains("sealed anew"), "nothing was left to seal");
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect()
}

fn contains(whole: &[u8], part: &[u8]) -> bool {
    whole.windows(part.len()).any(|window| window == part)
}
