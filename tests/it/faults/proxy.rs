//! [`Proxy`]: stands between a store and its PostgreSQL server, and cuts or silences a connection at an exact
//! moment.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hookwire::sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A proxy that reads PostgreSQL's messages:
/// <https://www.postgresql.org/docs/current/protocol-message-formats.html>.
pub(super) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: (String, u16),
    order: Mutex<Option<(Strike, String)>>,
    struck: Notify,
}

/// The fault of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Strike {
    /// The connection is cut before the server gets the statement.
    Before,
    /// The server executes the statement and is ready again. The connection is cut before its answer arrives.
    After,
    /// The server executes the statement. The connection stays open, but nothing arrives on it any more.
    Silence,
}

impl Proxy {
    /// Starts a proxy for the server of this URL.
    pub(super) async fn start(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().unwrap();
        let server = (options.get_host().to_owned(), options.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { server, order: Mutex::default(), struck: Notify::new() });
        tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(carry(client, Arc::clone(&shared)));
                }
            }
        });
        Self { address, shared }
    }

    /// Options that connect to the server through this proxy.
    pub(super) fn options(&self, url: &str) -> PgConnectOptions {
        let options: PgConnectOptions = url.parse().unwrap();
        // The proxy cannot read encrypted messages.
        options.host("127.0.0.1").port(self.address.port()).ssl_mode(PgSslMode::Disable)
    }

    /// Lets the next statement that contains `word` meet `strike`.
    pub(super) fn order(&self, strike: Strike, word: &str) {
        *self.shared.order.lock().unwrap() = Some((strike, word.to_owned()));
    }

    pub(super) fn is_ordered(&self) -> bool {
        self.shared.order.lock().unwrap().is_some()
    }

    /// Waits until an order was carried out.
    pub(super) async fn struck(&self) {
        self.shared.struck.notified().await;
    }
}

async fn carry(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(&shared.server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let line = Line { shared: &shared, is_mute: AtomicBool::new(false), is_silent: AtomicBool::new(false) };
    tokio::select! {
        _ = line.ask(from_client, to_server) => {}
        _ = line.answer(from_server, to_client) => {}
    }
}

/// One connection.
struct Line<'a> {
    shared: &'a Shared,
    is_mute: AtomicBool,
    is_silent: AtomicBool,
}

impl Line<'_> {
    async fn ask(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
        let mut statements: HashMap<Vec<u8>, String> = HashMap::new();
        let mut bound = String::new();
        // The first message has no type byte.
        to.write_all(&message(&mut from, false).await?).await?;
        loop {
            let message = message(&mut from, true).await?;
            let mut fields = message[5..].split(|byte| *byte == 0);
            let mut field = || fields.next().unwrap_or_default().to_vec();
            let text = |field: Vec<u8>| String::from_utf8_lossy(&field).into_owned();
            let executed = match message[0] {
                b'P' => {
                    statements.insert(field(), text(field()));
                    None
                }
                b'B' => {
                    field();
                    bound = statements.get(&field()).cloned().unwrap_or_default();
                    None
                }
                b'E' => Some(bound.clone()),
                b'Q' => Some(text(field())),
                _ => None,
            };
            match executed.and_then(|sql| self.take_order(&sql)) {
                Some(Strike::Before) => {
                    self.shared.struck.notify_one();
                    return Ok(());
                }
                Some(Strike::After) => self.is_mute.store(true, Ordering::SeqCst),
                Some(Strike::Silence) => {
                    self.is_mute.store(true, Ordering::SeqCst);
                    self.is_silent.store(true, Ordering::SeqCst);
                }
                None => {}
            }
            to.write_all(&message).await?;
        }
    }

    async fn answer(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> std::io::Result<()> {
        loop {
            let message = message(&mut from, true).await?;
            if !self.is_mute.load(Ordering::SeqCst) {
                to.write_all(&message).await?;
            } else if message[0] == b'Z' {
                // The server is ready for the next query, so the statement is committed.
                self.shared.struck.notify_one();
                if self.is_silent.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                return Ok(());
            }
        }
    }

    fn take_order(&self, sql: &str) -> Option<Strike> {
        self.shared
            .order
            .lock()
            .unwrap()
            .take_if(|(_, word)| sql.contains(word.as_str()))
            .map(|(strike, _)| strike)
    }
}

/// Reads a message with its head: the type byte, if it has one, and the length, which includes itself.
async fn message(from: &mut OwnedReadHalf, has_kind: bool) -> std::io::Result<Vec<u8>> {
    let head = usize::from(has_kind);
    let mut message = vec![0; head + 4];
    from.read_exact(&mut message).await?;
    let len = u32::from_be_bytes(message[head..].try_into().unwrap());
    message.resize(head + len as usize, 0);
    from.read_exact(&mut message[head + 4..]).await?;
    Ok(message)
}
