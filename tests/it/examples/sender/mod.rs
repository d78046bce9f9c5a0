//! Drives the sending program over real HTTP as its users do, with a story in each test.

mod calling;
mod ending;
mod events;
mod readme;
mod secrets;
mod stories;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use hookwire::{
    Contract, Envelope, ErrorClass, HttpClient as _, HyperClient, Limits, RawEvent, Secret, VerifyError,
};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::sleep;

use super::binary;
use crate::endpoint::{Endpoint, loopback};

/// The program on a port of its own. It is killed when dropped.
struct Sender {
    child: Child,
    url: String,
    client: HyperClient,
    contract: Contract,
    /// The program's standard error, and the thread that reads it.
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    /// Every response body of the program.
    answers: Mutex<Vec<Bytes>>,
}

impl Sender {
    /// Starts the program with keys for two organizations, one of them with a read-only key as well.
    fn start(contract: &str, store: &str, more: &[&str]) -> Self {
        Self::start_for_the_public(contract, store, &[&["--allow-loopback"], more].concat())
    }

    /// Starts the program without the permission to reach loopback.
    fn start_for_the_public(contract: &str, store: &str, more: &[&str]) -> Self {
        let given = ["--listen", "127.0.0.1:0", "--contract", contract, "--store", store];
        let keys = ["--api-key", "acme-key=acme", "--api-key=globex==globex", "--api-key", "looks=acme:read"];
        let mut command = Command::new(binary("sender"));
        command.args(given).args(keys).args(more);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        told.read_line(&mut first).unwrap();
        let url = first.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{first}"));
        let url = url.trim_end_matches('/').to_owned();
        assert!(!url.ends_with(":0"), "the port that it got: {url}");
        let said = Arc::new(Mutex::new(String::new()));
        // The program would block on a pipe that nobody reads.
        let reader = std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                let mut piece = [0; 1024];
                while let Ok(len @ 1..) = told.read(&mut piece) {
                    said.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..len]));
                }
            }
        });
        Self {
            child,
            url,
            client: HyperClient::new(),
            contract: contract.parse().unwrap(),
            said,
            reader: Some(reader),
            answers: Mutex::default(),
        }
    }

    /// Starts the program on a file that outlives it.
    fn on_sqlite(contract: &str, file: &Path, more: &[&str]) -> Self {
        Self::start(contract, &format!("sqlite:{}", file.display()), more)
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Sends a request of the organization `acme`.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.call_as("Bearer acme-key", method, path, body).await
    }

    async fn call_as(&self, credentials: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !credentials.is_empty() {
            request = request.header(AUTHORIZATION, credentials);
        }
        let request = match body {
            Some(body) => request.header(CONTENT_TYPE, "application/json").body(body.to_string().into()),
            None => request.body(Bytes::new()),
        };
        self.send(request.unwrap()).await.expect("it answers")
    }

    /// Returns `None` if nobody listens or the answer is cut off.
    async fn send(&self, request: Request<Bytes>) -> Option<Answer> {
        let limits =
            Limits::new(Duration::from_secs(60)).with_addresses(loopback()).with_body_cap(4 * 1024 * 1024);
        loop {
            match self.client.send(request.clone(), &limits).await {
                Ok(exchange) => {
                    self.answers.lock().unwrap().push(exchange.response.body().clone());
                    return Some(Answer(exchange.response));
                }
                // A server that answers before it has read a long body closes the connection, perhaps before
                // the answer is read.
                Err(error) if error.class() == ErrorClass::Reset && request.body().len() > 1 << 20 => {}
                Err(error) if matches!(error.class(), ErrorClass::Connect | ErrorClass::Reset) => {
                    return None;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    /// Creates a subscription and returns its id and its secret.
    async fn subscribe(&self, draft: Value) -> (String, Option<Secret>) {
        let made = self.post(SUBSCRIPTIONS, draft).await;
        assert_eq!(made.status(), 201, "{}", made.text());
        let made = made.json();
        let secret = made["secret"].as_str().map(|secret| secret.parse().unwrap());
        (made["data"]["id"].as_str().unwrap().to_owned(), secret)
    }

    /// Emits a `call.ended` event and returns its id.
    async fn emit_call(&self, call: &str) -> String {
        let emitted = self.post(EVENTS, json!({"type": "call.ended", "data": {"call_id": call}})).await;
        assert_eq!(emitted.status(), 202, "{}", emitted.text());
        emitted.json()["id"].as_str().unwrap().to_owned()
    }

    /// Repeats the request until the answer is as expected.
    async fn until(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let told = self.get(path).await.json();
            if is_so(&told) {
                return told;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Decodes an endpoint's request, and verifies it if the contract signs.
    fn received(
        &self,
        (headers, body): &(HeaderMap, Bytes),
        secret: Option<&Secret>,
    ) -> Result<Envelope<RawEvent>, VerifyError> {
        let verified = match secret {
            Some(secret) => self.contract.verifier(secret).unwrap().verify_at(headers, body, now())?,
            None => hookwire::Verified::dangerous_unsigned(headers, body),
        };
        Ok(self.contract.decode(&verified).unwrap())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for a graceful end and returns the whole standard error.
    async fn ended(&mut self) -> String {
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            sleep(Duration::from_millis(10)).await;
        };
        self.reader.take().unwrap().join().unwrap();
        let said = self.said.lock().unwrap().clone();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }

    async fn ended_by_sigterm(&mut self) -> String {
        self.signal("TERM");
        self.ended().await
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer(Response<Bytes>);

impl Answer {
    fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    fn header(&self, name: &str) -> &str {
        self.0.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    fn text(&self) -> &str {
        str::from_utf8(self.0.body()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(self.0.body()).unwrap_or_else(|_| panic!("{:?}", self.0))
    }
}

/// The ids of the events that an endpoint received, in the order of arrival.
fn ids(sender: &Sender, endpoint: &Endpoint) -> Vec<String> {
    let requests = endpoint.requests();
    requests.iter().map(|request| sender.received(request, None).unwrap().id.to_string()).collect()
}

/// The program uses the system's clock.
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

const EVENTS: &str = "/v1/events";
const SUBSCRIPTIONS: &str = "/v1/webhook-subscriptions";
