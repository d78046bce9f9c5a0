//! The senders of the tables: their signatures, written by hand, and a genuine request of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookwire::event::{EnvelopeFormat, Field};
use hookwire::receive::{HeaderGuard, PathGuard, Receiver};
use hookwire::{Contract, Scheme, Secret};
use sha2::Sha256;
use time::OffsetDateTime;

use super::request::Request;
use super::watch::Watch;

/// A platform, or a scheme with a suitable envelope.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sender {
    Allison,
    Allo,
    AlloV1,
    NectarDesk,
    ReceptAi,
    StandardWebhooks,
    Svix,
    Stripe,
    Github,
    Slack,
    Shopify,
}

impl Sender {
    pub(super) const ALL: [Self; 11] = [
        Self::Allison,
        Self::Allo,
        Self::AlloV1,
        Self::NectarDesk,
        Self::ReceptAi,
        Self::StandardWebhooks,
        Self::Svix,
        Self::Stripe,
        Self::Github,
        Self::Slack,
        Self::Shopify,
    ];

    pub(super) fn contract(self) -> Contract {
        let of = |name, scheme| Contract::standard_webhooks().with_name(name).unwrap().with_scheme(scheme);
        match self {
            Self::Allison => Contract::allison(),
            Self::Allo => Contract::allo(),
            Self::AlloV1 => Contract::allo_v1(),
            Self::NectarDesk => Contract::nectar_desk(),
            Self::ReceptAi => Contract::recept_ai(),
            Self::StandardWebhooks => Contract::standard_webhooks(),
            Self::Svix => of("svix", Scheme::SVIX),
            Self::Stripe => of("stripe", Scheme::STRIPE).with_format(ID_IN_THE_BODY),
            Self::Github => of("github", Scheme::GITHUB),
            Self::Slack => of("slack", Scheme::SLACK),
            Self::Shopify => of("shopify", Scheme::SHOPIFY),
        }
    }

    pub(super) fn receiver(self, watch: &Arc<Watch>) -> Receiver<Arc<Watch>> {
        let (contract, secret) = (self.contract(), secret());
        let receiver = match self {
            Self::AlloV1 => Receiver::guarded(contract, HeaderGuard::bearer(&token())),
            Self::NectarDesk => Receiver::guarded(contract, PathGuard::new(&token()).unwrap()),
            // The platform offers both together: a password and a signature.
            Self::ReceptAi => {
                let guard = HeaderGuard::basic("hooks", &token());
                Receiver::signed(contract, &secret).unwrap().with_guard(guard)
            }
            _ => Receiver::signed(contract, &secret).unwrap(),
        };
        receiver.with_inbox(Arc::clone(watch))
    }

    /// The path prefix of this sender's receiver.
    pub(super) fn mount(self) -> &'static str {
        match self {
            Self::Allison => "/allison",
            Self::Allo => "/allo",
            Self::AlloV1 => "/allo_v1",
            Self::NectarDesk => "/nectar_desk",
            Self::ReceptAi => "/recept_ai",
            Self::StandardWebhooks => "/standard_webhooks",
            Self::Svix => "/svix",
            Self::Stripe => "/stripe",
            Self::Github => "/github",
            Self::Slack => "/slack",
            Self::Shopify => "/shopify",
        }
    }

    /// A genuine, new and proven event of this sender.
    pub(super) fn genuine(self) -> Request {
        self.says(self.event())
    }

    /// A genuine event's text. `%id%` is the place of the id.
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::Allison => {
                r#"{"id":"%id%","type":"call.ended","created_at":"2026-04-17T19:12:03.482Z","api_version":"v1","data":{"call_id":"c"}}"#
            }
            Self::Allo => {
                r#"{"topic":"call.completed","version":"2.0","timestamp":"2026-04-17T19:12:03.482000Z","data":{"id":"%id%"}}"#
            }
            Self::AlloV1 => r#"{"topic":"CALL_RECEIVED","data":{"id":"%id%"}}"#,
            Self::NectarDesk => r#"{"event":"Call Ended","data":{"id":"%id%"}}"#,
            Self::ReceptAi => {
                r#"{"event":"Call Ended","timestamp":"2026-04-17T19:12:03.482Z","data":{"id":"%id%"}}"#
            }
            Self::Stripe => r#"{"id":"%id%","type":"charge.succeeded","data":{}}"#,
            _ => r#"{"type":"order.paid","timestamp":"2026-04-17T19:12:03Z","data":{"id":"%id%"}}"#,
        }
    }

    /// A correctly proven request with this body: only the body may be wrong.
    pub(super) fn says(self, body: impl Into<Vec<u8>>) -> Request {
        self.signs(&stamp(0), body)
    }

    /// A request with this body, proven with this text as its timestamp.
    pub(super) fn signs(self, stamp: &str, body: impl Into<Vec<u8>>) -> Request {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let id = format!("evt_{:032x}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.signs_as(id.as_bytes(), stamp, replace(&body.into(), b"%id%", id.as_bytes()))
    }

    /// A request with this id in its header.
    pub(super) fn signs_as(self, id: &[u8], stamp: &str, body: impl Into<Vec<u8>>) -> Request {
        let body = body.into();
        let mut headers = vec![("content-type".to_owned(), b"application/json".to_vec())];
        let mut path = self.mount().to_owned();
        let token = token();
        match self {
            Self::AlloV1 => {
                headers.push(("authorization".into(), format!("Bearer {}", token.expose()).into_bytes()));
            }
            Self::NectarDesk => path = format!("{path}/{}", token.expose()),
            Self::ReceptAi => {
                let credentials = BASE64.encode(format!("hooks:{}", token.expose()));
                headers.push(("authorization".into(), format!("Basic {credentials}").into_bytes()));
            }
            _ => {}
        }
        headers.extend(self.signature(id, stamp, &body, secret().expose()));
        Request { method: "POST".into(), path, headers, body }
    }

    /// The scheme's headers, without this crate's signer, because the signer would refuse some of them.
    pub(super) fn signature(
        self,
        id: &[u8],
        stamp: &str,
        body: &[u8],
        secret: &str,
    ) -> Vec<(String, Vec<u8>)> {
        let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let at = stamp.as_bytes();
        let decoded = || BASE64.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let hex = |pieces: &[&[u8]]| hex::encode(mac(secret.as_bytes(), pieces));
        let listed = |names: [&str; 3]| {
            let tag = BASE64.encode(mac(&decoded(), &[id, b".", at, b".", body]));
            vec![header(names[0], id), header(names[1], at), header(names[2], format!("v1,{tag}").as_bytes())]
        };
        match self {
            Self::AlloV1 | Self::NectarDesk => Vec::new(),
            Self::Allison => vec![
                header("x-allison-signature", format!("v1={}", hex(&[at, b".", body])).as_bytes()),
                header("x-allison-timestamp", at),
                header("x-allison-event-id", id),
            ],
            Self::Allo | Self::ReceptAi | Self::StandardWebhooks => {
                listed(["webhook-id", "webhook-timestamp", "webhook-signature"])
            }
            Self::Svix => listed(["svix-id", "svix-timestamp", "svix-signature"]),
            Self::Stripe => {
                let value = format!("t={stamp},v1={}", hex(&[at, b".", body]));
                vec![header("stripe-signature", value.as_bytes())]
            }
            Self::Github => {
                vec![header("x-hub-signature-256", format!("sha256={}", hex(&[body])).as_bytes())]
            }
            Self::Slack => vec![
                header("x-slack-signature", format!("v0={}", hex(&[b"v0:", at, b":", body])).as_bytes()),
                header("x-slack-request-timestamp", at),
            ],
            Self::Shopify => {
                let tag = BASE64.encode(mac(secret.as_bytes(), &[body]));
                vec![header("x-shopify-hmac-sha256", tag.as_bytes())]
            }
        }
    }
}

/// Unix seconds as text, this long from now.
pub(super) fn stamp(seconds: i64) -> String {
    (OffsetDateTime::now_utc().unix_timestamp() + seconds).to_string()
}

pub(super) fn secret() -> Secret {
    Secret::from_random([7; 32])
}

/// The token of senders that sign nothing.
pub(super) fn token() -> Secret {
    "Zk3v9QpX7rT2mB8wLc5nH1yD".parse().unwrap()
}

fn mac(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().into()
}

/// `bytes` with every `old` replaced by `new`. A body need not be text.
pub(super) fn replace(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(old.len()).position(|window| window == old) {
        replaced.extend_from_slice(&rest[..at]);
        replaced.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced
}

const ID_IN_THE_BODY: EnvelopeFormat =
    EnvelopeFormat::new(&[Field::Id("id"), Field::Type("type"), Field::Data("data")]);
