//! [`Scheme`]: which headers carry a signature and which bytes it covers, as data.

use http::HeaderName;

use super::ed25519::Asymmetric;
use super::encoding::Encoding;

/// How a signature is built and carried: headers, signed content, layout, encoding and form of the key.
///
/// A value, not a trait: another platform is another constant. Every scheme is an HMAC-SHA256
/// ([RFC 2104](https://www.rfc-editor.org/rfc/rfc2104)), but for the Ed25519 one of the feature `ed25519`.
///
/// A new scheme covers the body alone, as lower-case hex without a prefix, with the secret's text as key. The
/// `with_*` methods change that. They check what they are given and **panic** when it makes no sense, which in
/// a constant is a compile error. Name the headers before the content that uses them.
///
/// ```
/// use hookwire::{Part, Scheme};
///
/// const ACME: Scheme = Scheme::new("acme", "x-acme-signature")
///     .with_timestamp_header("x-acme-timestamp")
///     .with_prefix("v1=")
///     .with_content(&[Part::Timestamp, Part::Text("."), Part::Body]);
///
/// assert!(ACME.signs_time() && !ACME.signs_id());
/// ```
///
/// What the signature does not cover proves nothing: where [`signs_id`](Self::signs_id) is false a forger can put
/// a proved body under another id, and where [`signs_time`](Self::signs_time) is false an old request can be
/// sent again at any time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scheme {
    pub(super) name: &'static str,
    pub(super) signature_header: &'static str,
    pub(super) id_header: Option<&'static str>,
    pub(super) timestamp_header: Option<&'static str>,
    pub(super) content: &'static [Part],
    /// What the content says, kept beside it so that no message has to look again.
    pub(crate) id_separator: Option<u8>,
    pub(super) signs_time: bool,
    pub(super) layout: Layout,
    pub(super) encoding: Encoding,
    pub(super) key_form: KeyForm,
    /// `None` in every HMAC scheme.
    pub(super) asymmetric: Option<Asymmetric>,
}

impl Scheme {
    /// Allison: `X-Allison-Signature: v1=<hex>` over `timestamp.body`, the whole secret text as key.
    ///
    /// Covers the time and the body, **not the id**: `X-Allison-Event-Id` is sent and required, but only the id
    /// inside the signed body can be believed.
    pub const ALLISON: Self = Self::new("allison", "x-allison-signature")
        .with_id_header("x-allison-event-id")
        .with_timestamp_header("x-allison-timestamp")
        .with_prefix("v1=")
        .with_content(&[Part::Timestamp, Part::Text("."), Part::Body]);

    /// Standard Webhooks `v1`: `webhook-signature: v1,<base64> ...` over `id.timestamp.body`, base64 key.
    ///
    /// Covers the id, the time and the body. See the
    /// [specification](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
    pub const STANDARD_WEBHOOKS: Self = Self::new("standard_webhooks", "webhook-signature")
        .with_id_header("webhook-id")
        .with_timestamp_header("webhook-timestamp")
        .with_list("v1")
        .with_base64_signature()
        .with_base64_key()
        .with_content(ID_TIMESTAMP_BODY);

    /// Svix: Standard Webhooks under the header names `svix-id`, `svix-timestamp` and `svix-signature`.
    ///
    /// Covers the id, the time and the body. See [Svix's
    /// documentation](https://docs.svix.com/receiving/verifying-payloads/how-manual).
    pub const SVIX: Self = Self::new("svix", "svix-signature")
        .with_id_header("svix-id")
        .with_timestamp_header("svix-timestamp")
        .with_list("v1")
        .with_base64_signature()
        .with_base64_key()
        .with_content(ID_TIMESTAMP_BODY);

    /// Stripe: `Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>]` over `timestamp.body`, the secret's text as key.
    ///
    /// Covers the time and the body. There is no id header; the id is inside the signed body. See [Stripe's
    /// documentation](https://docs.stripe.com/webhooks#verify-manually).
    pub const STRIPE: Self = Self::new("stripe", "stripe-signature").with_fields("t", "v1").with_content(&[
        Part::Timestamp,
        Part::Text("."),
        Part::Body,
    ]);

    /// GitHub: `X-Hub-Signature-256: sha256=<hex>` over the body, the secret's text as key.
    ///
    /// Covers the body alone, **neither id nor time**: the age of a request can't be checked, and an old one can
    /// be sent again at any time. Remember what was handled. See [GitHub's
    /// documentation](https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries).
    pub const GITHUB: Self = Self::new("github", "x-hub-signature-256").with_prefix("sha256=");

    /// Slack: `X-Slack-Signature: v0=<hex>` over `v0:timestamp:body`, the signing secret's text as key.
    ///
    /// Covers the time and the body. No id is sent. See [Slack's
    /// documentation](https://docs.slack.dev/authentication/verifying-requests-from-slack).
    pub const SLACK: Self = Self::new("slack", "x-slack-signature")
        .with_timestamp_header("x-slack-request-timestamp")
        .with_prefix("v0=")
        .with_content(&[Part::Text("v0:"), Part::Timestamp, Part::Text(":"), Part::Body]);

    /// Shopify: `X-Shopify-Hmac-Sha256: <base64>` over the body, the secret's text as key.
    ///
    /// Covers the body alone, **neither id nor time**: the age of a request can't be checked, and an old one can
    /// be sent again at any time. Remember what was handled. See [Shopify's
    /// documentation](https://shopify.dev/docs/apps/build/webhooks/subscribe/https).
    pub const SHOPIFY: Self = Self::new("shopify", "x-shopify-hmac-sha256").with_base64_signature();

    /// A scheme that signs the body alone and sends lower-case hex in `signature_header`.
    ///
    /// # Panics
    ///
    /// When the name is empty, or the header is no lower-case header name.
    pub const fn new(name: &'static str, signature_header: &'static str) -> Self {
        Self {
            name,
            signature_header,
            id_header: None,
            timestamp_header: None,
            content: &[Part::Body],
            id_separator: None,
            signs_time: false,
            layout: Layout::Single { prefix: "" },
            encoding: Encoding::Hex,
            key_form: KeyForm::Text,
            asymmetric: None,
        }
        .checked()
    }

    /// Sends the message's id in a header and requires it.
    ///
    /// # Panics
    ///
    /// When the header is no lower-case header name, or already carries something else.
    pub const fn with_id_header(mut self, header: &'static str) -> Self {
        self.id_header = Some(header);
        self.checked()
    }

    /// Sends the time of signing, in Unix seconds, in a header and requires it.
    ///
    /// # Panics
    ///
    /// When the header is no lower-case header name, or already carries something else, or the time is already
    /// [inside the signature header](Self::with_fields).
    pub const fn with_timestamp_header(mut self, header: &'static str) -> Self {
        self.timestamp_header = Some(header);
        self.checked()
    }

    /// The signature header holds one signature, after `prefix` (such as `sha256=`; empty for none).
    ///
    /// # Panics
    ///
    /// When the prefix is not visible ASCII, or the signed content needed the time from
    /// [`with_fields`](Self::with_fields).
    pub const fn with_prefix(mut self, prefix: &'static str) -> Self {
        self.layout = Layout::Single { prefix };
        self.checked()
    }

    /// The signature header holds a list of `version,signature` separated by spaces, as Standard Webhooks has it.
    ///
    /// # Panics
    ///
    /// When the version is not lower-case letters and digits, or the signed content needed the time from
    /// [`with_fields`](Self::with_fields).
    pub const fn with_list(mut self, version: &'static str) -> Self {
        self.layout = Layout::List { version };
        self.checked()
    }

    /// The signature header holds `timestamp=<seconds>,signature=<..>[,signature=<..>]`, as Stripe has it.
    ///
    /// # Panics
    ///
    /// When the names are not lower-case letters and digits, or the same, or the time already has a header.
    pub const fn with_fields(mut self, timestamp: &'static str, signature: &'static str) -> Self {
        self.layout = Layout::Fields { timestamp, signature };
        self.checked()
    }

    /// What is signed, in order; the body comes last.
    ///
    /// # Panics
    ///
    /// When the body is not the last part and there once; the id or the time is there twice or has no header; or
    /// what follows the id or the time could belong to it, so that two messages would have the same content.
    pub const fn with_content(mut self, content: &'static [Part]) -> Self {
        self.content = content;
        self.id_separator = id_separator(content);
        self.signs_time = has_timestamp(content);
        self.checked()
    }

    /// Signatures are written as base64 with padding; without this they are lower-case hex.
    pub const fn with_base64_signature(mut self) -> Self {
        self.encoding = Encoding::Base64;
        self
    }

    /// The key is what the secret's text decodes to after `whsec_`; without this it is the whole text.
    pub const fn with_base64_key(mut self) -> Self {
        self.key_form = KeyForm::Base64;
        self
    }

    /// The scheme's name in snake case, for logs and messages.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The lower-case name of the header with the signature.
    pub const fn signature_header(&self) -> &'static str {
        self.signature_header
    }

    /// The lower-case name of the header with the message's id, if the scheme has one.
    ///
    /// Only where [`signs_id`](Self::signs_id) is true does the signature cover it.
    pub const fn id_header(&self) -> Option<&'static str> {
        self.id_header
    }

    /// The lower-case name of the header with the time of signing, if it has one of its own.
    pub const fn timestamp_header(&self) -> Option<&'static str> {
        self.timestamp_header
    }

    /// Whether its header can carry several signatures, so that old secrets can sign beside the newest. Under the others the newest
    /// signs alone.
    pub const fn carries_several(&self) -> bool {
        !matches!(self.layout, Layout::Single { .. })
    }

    /// Whether the signature covers the message's id.
    pub const fn signs_id(&self) -> bool {
        self.id_separator.is_some()
    }

    /// Whether the signature covers the time of signing; only then can a message's age be checked.
    pub const fn signs_time(&self) -> bool {
        self.signs_time
    }

    /// The lower-case names of all headers the scheme sends and requires.
    pub fn headers(&self) -> impl Iterator<Item = &'static str> + use<> {
        [self.id_header, self.timestamp_header, Some(self.signature_header)].into_iter().flatten()
    }

    /// Whether a message has a time of signing, in a header of its own or inside the signature header.
    pub(super) const fn sends_time(&self) -> bool {
        self.timestamp_header.is_some() || matches!(self.layout, Layout::Fields { .. })
    }

    /// The headers' names, made once per signer or verifier.
    pub(super) fn header_names(&self) -> HeaderNames {
        HeaderNames {
            signature: HeaderName::from_static(self.signature_header),
            id: self.id_header.map(HeaderName::from_static),
            timestamp: self.timestamp_header.map(HeaderName::from_static),
        }
    }

    const fn checked(self) -> Self {
        assert!(!self.name.is_empty(), "a scheme needs a name");
        self.check_headers();
        self.check_layout();
        self.check_content();
        self
    }

    const fn check_headers(&self) {
        assert!(is_header(self.signature_header), "the signature header is no lower-case header name");
        if let Some(id) = self.id_header {
            assert!(is_header(id), "the id header is no lower-case header name");
            assert!(!same(id, self.signature_header), "the id and the signature need different headers");
        }
        if let Some(timestamp) = self.timestamp_header {
            assert!(is_header(timestamp), "the timestamp header is no lower-case header name");
            assert!(
                !same(timestamp, self.signature_header),
                "the time and the signature need different headers"
            );
            if let Some(id) = self.id_header {
                assert!(!same(timestamp, id), "the time and the id need different headers");
            }
        }
    }

    const fn check_layout(&self) {
        match self.layout {
            Layout::Single { prefix } => assert!(is_visible(prefix), "the prefix is not visible ASCII"),
            Layout::List { version } => {
                assert!(is_word(version), "the version is not lower-case letters and digits");
            }
            Layout::Fields { timestamp, signature } => {
                assert!(self.timestamp_header.is_none(), "the time is sent both in a header and in a field");
                assert!(is_word(timestamp), "the time's field is not lower-case letters and digits");
                assert!(is_word(signature), "the signature's field is not lower-case letters and digits");
                assert!(!same(timestamp, signature), "the time and the signature need different fields");
            }
        }
    }

    const fn check_content(&self) {
        let parts = self.content;
        assert!(
            !parts.is_empty() && matches!(parts[parts.len() - 1], Part::Body),
            "the body is not the last part of the content"
        );
        let (mut ids, mut timestamps) = (0, 0);
        let mut at = 0;
        while at + 1 < parts.len() {
            match parts[at] {
                Part::Body => panic!("the body is in the content twice"),
                Part::Text(text) => {
                    assert!(!text.is_empty(), "a text in the content is empty");
                }
                Part::Id => {
                    ids += 1;
                    assert!(self.id_header.is_some(), "the content has an id but no header sends it");
                    assert!(
                        matches!(parts[at + 1], Part::Text(text) if is_visible_first(text)),
                        "after the id the content needs a text that begins with visible ASCII"
                    );
                }
                Part::Timestamp => {
                    timestamps += 1;
                    assert!(self.sends_time(), "the content has a time but nothing sends it");
                    assert!(
                        matches!(parts[at + 1], Part::Text(text) if !is_digit_first(text)),
                        "after the time the content needs a text that does not begin with a digit"
                    );
                }
            }
            at += 1;
        }
        assert!(ids <= 1, "the id is in the content twice");
        assert!(timestamps <= 1, "the time is in the content twice");
    }
}

/// One part of what a [`Scheme`] signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// The message's id, as sent in its header.
    Id,
    /// The time of signing in Unix seconds, as sent.
    Timestamp,
    /// The raw body.
    Body,
    /// A fixed text, such as the full stop between two parts.
    Text(&'static str),
}

/// What the signature header's value looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layout {
    /// `prefix` and one signature.
    Single { prefix: &'static str },
    /// `version,signature` entries separated by spaces.
    List { version: &'static str },
    /// `name=value` fields separated by commas.
    Fields { timestamp: &'static str, signature: &'static str },
}

/// How a key is had from a secret's text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum KeyForm {
    /// Base64 after an optional `whsec_`.
    Base64,
    /// The bytes of the whole text.
    Text,
}

/// A scheme's header names in the form that look-ups want.
#[derive(Clone)]
pub(super) struct HeaderNames {
    pub(super) signature: HeaderName,
    pub(super) id: Option<HeaderName>,
    pub(super) timestamp: Option<HeaderName>,
}

/// The character after a signed id, which the id must not hold.
const fn id_separator(content: &[Part]) -> Option<u8> {
    let mut at = 0;
    while at + 1 < content.len() {
        if let (Part::Id, Part::Text(text)) = (&content[at], &content[at + 1])
            && !text.is_empty()
        {
            return Some(text.as_bytes()[0]);
        }
        at += 1;
    }
    None
}

const fn has_timestamp(content: &[Part]) -> bool {
    let mut at = 0;
    while at < content.len() {
        if matches!(content[at], Part::Timestamp) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_header(name: &str) -> bool {
    let bytes = name.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

const fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !matches!(bytes[at], b'a'..=b'z' | b'0'..=b'9') {
            return false;
        }
        at += 1;
    }
    !bytes.is_empty()
}

const fn is_visible(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_graphic() {
            return false;
        }
        at += 1;
    }
    true
}

const fn is_visible_first(text: &str) -> bool {
    !text.is_empty() && text.as_bytes()[0].is_ascii_graphic()
}

const fn is_digit_first(text: &str) -> bool {
    text.is_empty() || text.as_bytes()[0].is_ascii_digit()
}

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut at = 0;
    while at < left.len() {
        if left[at] != right[at] {
            return false;
        }
        at += 1;
    }
    true
}

const ID_TIMESTAMP_BODY: &[Part] = &[Part::Id, Part::Text("."), Part::Timestamp, Part::Text("."), Part::Body];
