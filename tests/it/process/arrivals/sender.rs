//! [`Sender`]: a platform that repeats each event until it is answered 200, and sometimes afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join;
use hookwire::allison::CallEnded;
use hookwire::{Contract, Envelope};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::super::Dice;
use super::super::child::secret;

pub(super) struct Sender {
    tell: watch::Sender<Order>,
    hands: JoinSet<Vec<String>>,
    counts: Arc<Counts>,
}

/// The address to send to, and whether to go on.
#[derive(Clone)]
struct Order {
    address: Option<String>,
    goes_on: bool,
}

#[derive(Default)]
struct Counts {
    requests: AtomicUsize,
    taken: AtomicUsize,
    in_doubt: AtomicUsize,
}

/// A summary of the sent events. Each was repeated until it was answered 200.
pub(super) struct Sent {
    pub(super) events: Vec<String>,
    pub(super) requests: usize,
    pub(super) taken: usize,
    /// Requests that a process accepted without answering.
    pub(super) in_doubt: usize,
}

impl Sender {
    pub(super) fn start(seed: u64) -> Self {
        let (tell, orders) = watch::channel(Order { address: None, goes_on: true });
        let counts = Arc::<Counts>::default();
        let mut dice = Dice(seed);
        let mut hands = JoinSet::new();
        for number in 0..HANDS {
            let hand = Hand {
                name: format!("evt_{number}"),
                dice: Dice(dice.next()),
                orders: orders.clone(),
                counts: Arc::clone(&counts),
            };
            hands.spawn(hand.send());
        }
        Self { tell, hands, counts }
    }

    pub(super) fn send_to(&self, address: &str) {
        self.tell.send_modify(|order| order.address = Some(address.to_owned()));
    }

    /// Starts no new events, and finishes those that were started.
    pub(super) async fn end(mut self) -> Sent {
        self.tell.send_modify(|order| order.goes_on = false);
        let mut events = Vec::new();
        while let Some(sent) = self.hands.join_next().await {
            events.extend(sent.unwrap());
        }
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        Sent {
            events,
            requests: count(&self.counts.requests),
            taken: count(&self.counts.taken),
            in_doubt: count(&self.counts.in_doubt),
        }
    }
}

struct Hand {
    name: String,
    dice: Dice,
    orders: watch::Receiver<Order>,
    counts: Arc<Counts>,
}

impl Hand {
    async fn send(mut self) -> Vec<String> {
        let mut sent = Vec::new();
        while self.orders.borrow().goes_on {
            tokio::time::sleep(Duration::from_millis(self.dice.below(20))).await;
            let event = format!("{}_{}", self.name, sent.len());
            loop {
                let answered = if self.dice.one_in(5) {
                    // Two copies at once, as from a sender whose queue delivers twice.
                    let (one, two) = join(self.post(&event), self.post(&event)).await;
                    one || two
                } else {
                    self.post(&event).await
                };
                if answered {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5 + self.dice.below(20))).await;
            }
            if self.dice.one_in(4) {
                // One more copy, as from a sender that lost the answer.
                self.post(&event).await;
            }
            sent.push(event);
        }
        sent
    }

    /// Whether the request was answered 200.
    async fn post(&self, event: &str) -> bool {
        let Some(address) = self.orders.borrow().address.clone() else { return false };
        self.counts.requests.fetch_add(1, Ordering::SeqCst);
        let Ok(mut stream) = TcpStream::connect(&address).await else { return false };
        let mut answer = [0; 12];
        let request = request(event);
        let answered = async {
            stream.write_all(&request).await?;
            stream.read_exact(&mut answer).await
        };
        if answered.await.is_err() {
            self.counts.in_doubt.fetch_add(1, Ordering::SeqCst);
            return false;
        }
        let is_taken = &answer[9..] == b"200";
        assert!(is_taken || &answer[9..] == b"503", "{}", String::from_utf8_lossy(&answer));
        self.counts.taken.fetch_add(usize::from(is_taken), Ordering::SeqCst);
        is_taken
    }
}

/// The request's bytes on the wire, signed now.
fn request(event: &str) -> Vec<u8> {
    let contract = Contract::allison();
    // A fixed time, so that each repetition has the same bytes.
    let at = OffsetDateTime::UNIX_EPOCH;
    let envelope = Envelope::from_parts(event.parse().unwrap(), at, CallEnded::new(event));
    let body = contract.encode(&envelope).unwrap();
    let signer = contract.signer(&secret()).unwrap();
    let mut request = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".to_owned();
    for (name, value) in &signer.sign(event, OffsetDateTime::now_utc(), &body).unwrap() {
        request += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    request += &format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [request.as_bytes(), &body].concat()
}

const HANDS: usize = 6;
