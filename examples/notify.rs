//! Reports escalations to a chat: receives Allison's events, and posts each `call.escalation_triggered` to an
//! incoming webhook.
//!
//! ```text
//! cargo run --example notify --features full -- \
//!     --listen 127.0.0.1:8080 --secret "$WEBHOOK_SECRET" --hook "$CHAT_HOOK"
//! ```
//!
//! The incoming webhook belongs to Slack, or to any chat that takes `{"text": ".."}`. If the chat does not
//! take a message, the event is released and answered 503, so that the sender repeats it. After a crash
//! between the chat's answer and the commit, the message is posted again, because two services cannot share a
//! transaction. The program remembers the events that it posted as long as it runs.

#[path = "shared/ending.rs"]
mod ending;
#[path = "shared/flags.rs"]
mod flags;
#[path = "shared/refused.rs"]
mod refused;
#[path = "shared/serving.rs"]
mod serving;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use flags::{Flags, Names};
use hookwire::allison::{EscalationAction, EscalationTriggered};
use hookwire::receive::axum::handler;
use hookwire::receive::{Handlers, Receiver};
use hookwire::{
    AddressPolicy, Contract, EndpointUrl, Envelope, HttpClient, HyperClient, Limits, MemoryStore,
};
use http::Request;
use serde_json::json;

#[tokio::main]
async fn main() -> ExitCode {
    let names = Names {
        needed: &["--listen", "--secret", "--hook"],
        alone: &["--allow-loopback"],
        ..Names::default()
    };
    flags::main(USAGE, names, Options::parse, run).await
}

struct Options {
    listen: String,
    receiver: Receiver,
    chat: Chat,
}

impl Options {
    fn parse(flags: &Flags) -> Result<Self, Box<dyn Error>> {
        let receiver = Receiver::signed(Contract::allison(), &flags.needed("--secret").parse()?)?;
        let chat = Chat::new(flags.needed("--hook"), flags.get("--allow-loopback").is_some())?;
        Ok(Self { listen: flags.needed("--listen").to_owned(), receiver, chat })
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let chat = Arc::new(options.chat);
    let receiver = options.receiver.with_inbox(MemoryStore::new()).with_rejection_observer(refused::log);
    let receiver = Arc::new(receiver);
    // Events of other types count as handled.
    let handlers = Handlers::new().with(move |event: Envelope<EscalationTriggered>| {
        let chat = Arc::clone(&chat);
        async move {
            let posted = chat.post(&line(&event.data)).await;
            posted.inspect_err(|error| eprintln!("{} is left to the sender to repeat: {error}", event.id))
        }
    });
    let route = handler(Arc::clone(&receiver), move |event| {
        let handlers = handlers.clone();
        async move { handlers.handle(event).await }
    });
    Ok(serving::serve(&options.listen, Router::new().route("/", route), receiver).await?)
}

/// A chat's incoming webhook.
struct Chat {
    client: HyperClient,
    hook: EndpointUrl,
    limits: Limits,
}

impl Chat {
    fn new(hook: &str, allow_loopback: bool) -> Result<Self, Box<dyn Error>> {
        let policy = match allow_loopback {
            true => AddressPolicy::new().allow_loopback().allow_plain_http(),
            false => AddressPolicy::new(),
        };
        let hook = EndpointUrl::parse(hook, &policy)?;
        // Half of the time that the sender waits for its own answer.
        let limits = Limits::new(Contract::allison().timeout() / 2).with_addresses(policy);
        Ok(Self { client: HyperClient::new(), hook, limits })
    }

    async fn post(&self, text: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
        let request = Request::post(self.hook.uri())
            .header("content-type", "application/json")
            .body(Bytes::from(json!({ "text": text }).to_string()))?;
        let status = self.client.send(request, &self.limits).await?.response.status();
        if status.is_success() { Ok(()) } else { Err(format!("the chat answered {status}").into()) }
    }
}

fn line(escalation: &EscalationTriggered) -> String {
    let done = match &escalation.action {
        Some(EscalationAction::WarmTransfer) => "handed over",
        Some(EscalationAction::ScheduledCallback) => "will be called back",
        Some(EscalationAction::Voicemail) => "sent to voicemail",
        Some(EscalationAction::Ticket) => "made a ticket",
        _ => "escalated",
    };
    let mut line = format!("Call {} was escalated: {done}", escape(&escalation.call_id));
    for (before, text) in
        [(" to ", &escalation.target), (" by rule ", &escalation.rule), (". ", &escalation.reason)]
    {
        if let Some(text) = text {
            line += before;
            line += &escape(text);
        }
    }
    line
}

/// Escapes the caller's words, so that they cannot notify the whole channel: Slack reads `<!channel>` as
/// that, and asks for these three characters to be escaped
/// (docs.slack.dev/messaging/formatting-message-text).
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const USAGE: &str = "\
usage: notify --listen ADDR --secret S --hook URL [--allow-loopback]

  --listen ADDR     such as 127.0.0.1:8080; port 0 takes a free one and says which
  --secret S        the secret of Allison's subscription
  --hook URL        the chat's incoming webhook
  --allow-loopback  the hook may be http and on this machine, for tests
";
