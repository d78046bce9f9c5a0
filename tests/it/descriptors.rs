//! A process that may have few descriptors sends to many origins, one event to each.
//!
//! The sender is a child process under `ulimit -n`. Every address in 127.0.0.0/8 is this machine, so one
//! listener stands for any number of origins.
#![cfg(target_os = "linux")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hookwire::allison::CallEnded;
use hookwire::dispatch::{AttemptEvent, Dispatcher, Observer, Outbox, Wake};
use hookwire::{
    Contract, EndpointUrl, Envelope, EventFilter, HttpClient, HyperClient, MemoryStore, ReqwestClient,
    Secret, Subscription, Subscriptions,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use crate::client_peers::read_request;
use crate::endpoint::loopback;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_to_each_of_many_more_origins_than_descriptors_is_delivered_by_hyper() {
    many_origins("hyper", 256, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_to_each_of_many_more_origins_than_descriptors_is_delivered_by_reqwest() {
    many_origins("reqwest", 256, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_to_each_of_1_100_origins_is_delivered_with_1_024_descriptors() {
    many_origins("hyper", 1_024, 1_100).await;
}

async fn many_origins(client: &str, descriptors: usize, origins: usize) {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, peak) = (Arc::clone(&open), Arc::clone(&most));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                answer(stream).await;
                counted.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    let script = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "descriptors::child", "--ignored", "--nocapture"])
        .env("HOOKWIRE_ORIGINS", format!("{client} {port} {origins}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (tell, mut lines) = mpsc::unbounded_channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let mut next = async |name: &str| loop {
        let line = lines.recv().await.expect("the child goes on");
        if let Some(value) = line.strip_prefix(name) {
            return value.to_owned();
        }
    };
    let health = next("health ").await;
    let ended = next("ended ");
    tokio::pin!(ended);
    let told = loop {
        tokio::select! {
            told = &mut ended => break told,
            // The process has descriptors left for others.
            alive = is_alive(&health) => assert!(alive, "the process answers nobody else"),
        }
    };
    assert_eq!(told, format!("{origins} delivered, 0 failed"));
    assert!(child.wait().unwrap().success());
    let most = most.load(Ordering::SeqCst);
    assert!(most <= descriptors, "{most} connections at once");
}

async fn answer(mut stream: TcpStream) {
    while let Ok(request) = read_request(&mut stream).await {
        let closes = request.to_ascii_lowercase().contains("connection: close");
        let written = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        if written.is_err() || closes {
            return;
        }
    }
}

async fn is_alive(health: &str) -> bool {
    let asked = async {
        let mut answer = Vec::new();
        TcpStream::connect(health).await?.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    // The limit is for a process that accepts no connection at all.
    let answer = tokio::time::timeout(Duration::from_secs(30), asked).await;
    matches!(answer, Ok(Ok(answer)) if answer == b"alive")
}

#[test]
#[ignore = "the sender that the tests of this module start as a process of its own"]
fn child() {
    let Ok(origins) = std::env::var("HOOKWIRE_ORIGINS") else { return };
    let [client, port, origins] = origins.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let (port, origins) = (port.parse().unwrap(), origins.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match client {
        "hyper" => runtime.block_on(send_to_all(port, origins, HyperClient::new())),
        _ => runtime.block_on(send_to_all(port, origins, ReqwestClient::new())),
    }
}

async fn send_to_all(port: u16, origins: usize, client: impl HttpClient + 'static) {
    let health = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("\nhealth {}", health.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = health.accept().await {
            stream.write_all(b"alive").await.unwrap();
        }
    });
    let (store, wake, counts) = (Arc::new(MemoryStore::new()), Wake::new(), Arc::new(Counts::default()));
    let outbox = Outbox::new(Arc::clone(&store), Contract::allison()).with_wake(&wake);
    for number in 0..origins {
        let (organization, [high, low]) = (format!("org_{number}"), (number as u16 + 1).to_be_bytes());
        let url = EndpointUrl::parse(&format!("http://127.1.{high}.{low}:{port}/"), &loopback()).unwrap();
        let subscription = Subscription::new(&organization, &Contract::allison(), url, EventFilter::all());
        store.put(&subscription.with_secret(Secret::generate())).await.unwrap();
        outbox.emit(&organization, &Envelope::new(CallEnded::new("call"))).await.unwrap();
    }
    let dispatcher = Dispatcher::new(Arc::clone(&store), client, Contract::allison())
        .with_address_policy(loopback())
        .with_observer(Told(Arc::clone(&counts)))
        .with_wake(&wake);
    let all = async {
        while counts.ended() < origins {
            counts.changed.notified().await;
        }
    };
    dispatcher.run(all).await;
    let (delivered, failed) = (&counts.delivered, &counts.failed);
    println!(
        "\nended {} delivered, {} failed",
        delivered.load(Ordering::SeqCst),
        failed.load(Ordering::SeqCst)
    );
}

#[derive(Default)]
struct Counts {
    delivered: AtomicUsize,
    failed: AtomicUsize,
    changed: Notify,
}

impl Counts {
    fn ended(&self) -> usize {
        self.delivered.load(Ordering::SeqCst) + self.failed.load(Ordering::SeqCst)
    }
}

struct Told(Arc<Counts>);

impl Observer for Told {
    fn delivered(&self, _: &AttemptEvent<'_>) {
        self.0.delivered.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }

    fn attempt_failed(&self, _: &AttemptEvent<'_>) {
        self.0.failed.fetch_add(1, Ordering::SeqCst);
        self.0.changed.notify_one();
    }
}
