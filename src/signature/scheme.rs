//! [`Scheme`]: which headers carry a signature and which bytes it covers, as data.

use http::HeaderName;

use super::algorithm::{Algorithm, TimeForm};
use super::encoding::Encoding;
use super::header_family::HeaderFamily;
use super::layout::{Column, ContentForm, Layout, SignaturePlace, UrlForm};
use super::message::Part;
use super::secret::KeyForm;

/// How a signature is built and carried: headers, signed content, layout, encoding and form of the key.
///
/// A scheme is a value, not a trait: another platform is another constant. A scheme signs with HMAC-SHA256
/// ([RFC 2104](https://www.rfc-editor.org/rfc/rfc2104)) unless it names
/// [another algorithm](Self::with_algorithm). One that [takes Ed25519 keys](Self::with_ed25519_keys) signs
/// with Ed25519 where the secret is such a key.
///
/// A new scheme covers the body alone, writes lower-case hex without a prefix, and takes the secret's text as
/// its key. The `with_*` methods change that. They check their arguments and **panic** when those contradict
/// each other, which is a compile error in a constant. Name the headers before the content that uses them.
///
/// ```
/// use hookwire::signature::Part;
/// use hookwire::Scheme;
///
/// const ACME: Scheme = Scheme::new("acme", "x-acme-signature")
///     .with_timestamp_header("x-acme-timestamp")
///     .with_prefix("v1=")
///     .with_content(&[Part::Timestamp, Part::Text("."), Part::Body]);
///
/// assert!(ACME.signs_time() && !ACME.signs_id());
/// ```
///
/// A signature proves only what it covers. Where [`signs_id`](Self::signs_id) is false, a forger can put a
/// proved body under another id. Where [`signs_time`](Self::signs_time) is false, an old request can be sent
/// again at any time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scheme {
    pub(super) name: &'static str,
    pub(super) signature_header: &'static str,
    pub(super) id_header: Option<&'static str>,
    pub(super) timestamp_header: Option<&'static str>,
    pub(super) content: &'static [Part],
    /// The character after a signed id in `content`, kept here so that no message searches for it.
    pub(crate) id_separator: Option<u8>,
    pub(super) signs_time: bool,
    pub(super) layout: Layout,
    pub(super) encoding: Encoding,
    pub(super) key_form: KeyForm,
    /// Whether a secret may be an Ed25519 key.
    pub(super) takes_ed25519: bool,
    /// Whether the fast way applies: HMAC-SHA256 over id, time and body, with everything else in headers.
    pub(super) is_plain: bool,
    pub(super) algorithm: Algorithm,
    pub(crate) time: TimeForm,
    pub(crate) place: SignaturePlace,
    pub(super) url_form: UrlForm,
    pub(super) content_form: ContentForm,
    /// The JSON Pointer of the time of signing, if the body carries it.
    pub(super) json_time: Option<&'static str>,
    /// The JSON Pointer of a list, each item of which is signed by itself.
    pub(crate) each: Option<&'static str>,
    /// The query key with the hex of the body's SHA-256.
    pub(crate) query_digest: Option<&'static str>,
    /// Other names under which the sender's headers may come.
    pub(super) other_headers: Option<&'static HeaderFamily>,
}

impl Scheme {
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
            takes_ed25519: false,
            is_plain: true,
            algorithm: Algorithm::HmacSha256,
            time: TimeForm::Seconds,
            place: SignaturePlace::Header,
            url_form: UrlForm::AsGiven,
            content_form: ContentForm::AsSent,
            json_time: None,
            each: None,
            query_digest: None,
            other_headers: None,
        }
        .checked()
    }

    /// A scheme that signs the body alone, and carries lower-case hex at `pointer` of the JSON body (RFC
    /// 6901). Name the signed parts with [`with_content`](Self::with_content): the body cannot be one.
    ///
    /// # Panics
    ///
    /// When the name is empty, or the pointer does not begin with a slash.
    pub const fn in_json(name: &'static str, pointer: &'static str) -> Self {
        let mut scheme = Self::new(name, "signature");
        scheme.signature_header = "";
        scheme.place = SignaturePlace::Json(pointer);
        scheme
    }

    /// A scheme that carries lower-case hex in a field of the form body. Name the signed parts with
    /// [`with_content`](Self::with_content): the body cannot be one.
    ///
    /// # Panics
    ///
    /// When the name is empty.
    pub const fn in_form(name: &'static str, field: &'static str) -> Self {
        let mut scheme = Self::new(name, "signature");
        scheme.signature_header = "";
        scheme.place = SignaturePlace::Form(field);
        scheme
    }

    /// Sets the name, for logs and messages.
    ///
    /// # Panics
    ///
    /// When the name is empty.
    pub const fn with_name(mut self, name: &'static str) -> Self {
        self.name = name;
        self.checked()
    }

    /// Sets the header that carries the message's id. A verifier requires it.
    ///
    /// # Panics
    ///
    /// When the header is no lower-case header name, or already carries something else.
    pub const fn with_id_header(mut self, header: &'static str) -> Self {
        self.id_header = Some(header);
        self.checked()
    }

    /// Sets the header that carries the time of signing in Unix seconds. A verifier requires it.
    ///
    /// # Panics
    ///
    /// When the header is no lower-case header name, or already carries something else, or the time is
    /// already [inside the signature header](Self::with_fields).
    pub const fn with_timestamp_header(mut self, header: &'static str) -> Self {
        self.timestamp_header = Some(header);
        self.checked()
    }

    /// Sets the layout of the signature header to one signature after `prefix`, such as `sha256=`; empty for
    /// no prefix.
    ///
    /// # Panics
    ///
    /// When the prefix is not visible ASCII, or the signed content needed the time from
    /// [`with_fields`](Self::with_fields).
    pub const fn with_prefix(mut self, prefix: &'static str) -> Self {
        self.layout = Layout::Single { prefix };
        self.checked()
    }

    /// Sets the layout of the signature header to a list of `version,signature` separated by spaces, as in
    /// Standard Webhooks.
    ///
    /// # Panics
    ///
    /// When the version is not lower-case letters and digits, or the signed content needed the time from
    /// [`with_fields`](Self::with_fields).
    pub const fn with_list(mut self, version: &'static str) -> Self {
        self.layout = Layout::List { version };
        self.checked()
    }

    /// Sets the layout of the signature header to `timestamp=<seconds>,signature=<..>[,signature=<..>]`, as
    /// at Stripe.
    ///
    /// # Panics
    ///
    /// When the names are not lower-case letters and digits, or the same, or the time already has a header.
    pub const fn with_fields(mut self, timestamp: &'static str, signature: &'static str) -> Self {
        self.layout = Layout::Fields { timestamp, signature };
        self.checked()
    }

    /// Sets the layout of the signature header to fields `name=value` with this character between them and
    /// optional white space around it. `timestamp` is the field of the time, if the time is one.
    ///
    /// # Panics
    ///
    /// When a name is not lower-case letters and digits, both are the same, or the time already has a header.
    pub const fn with_separated_fields(
        mut self,
        separator: char,
        timestamp: Option<&'static str>,
        signature: &'static str,
    ) -> Self {
        self.layout = Layout::Named { separator: separator as u8, timestamp, signature };
        self.checked()
    }

    /// Sets the layout of the signature header to a list of signatures, each after `prefix`, with this
    /// character between them and optional white space around it.
    ///
    /// # Panics
    ///
    /// When the prefix is not visible ASCII, or holds the separator.
    pub const fn with_tags(mut self, separator: char, prefix: &'static str) -> Self {
        self.layout = Layout::Tags { separator: separator as u8, prefix };
        self.checked()
    }

    /// Sets the layout of the signature to columns with a separator between them, such as
    /// `hmac;1;<time>;<signature>`. With `entries`, there may be several rows of columns, separated by it.
    ///
    /// # Panics
    ///
    /// When there is not exactly one column with a signature, or more than one with the time.
    pub const fn with_columns(
        mut self,
        entries: Option<char>,
        separator: char,
        columns: &'static [Column],
    ) -> Self {
        let entries = match entries {
            Some(entries) => Some(entries as u8),
            None => None,
        };
        self.layout = Layout::Columns { entries, separator: separator as u8, columns };
        self.checked()
    }

    /// Sets further headers with a signature, beside the first. Any of them may prove a request; at least one
    /// of all has to be there.
    ///
    /// # Panics
    ///
    /// When a header is no lower-case header name.
    pub const fn with_more_signature_headers(mut self, headers: &'static [&'static str]) -> Self {
        self.place = SignaturePlace::Headers(headers);
        self.checked()
    }

    /// Numbers the signature headers: the first ends in `-1`, and there may be `-2`, `-3` and so on beside
    /// it.
    ///
    /// # Panics
    ///
    /// When the signature header does not end in `-1`.
    pub const fn with_numbered_signature_headers(mut self) -> Self {
        self.place = SignaturePlace::Numbered;
        self.checked()
    }

    /// Sets the algorithm. The default is HMAC-SHA256.
    pub const fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self.checked()
    }

    /// Sets the form of the time of signing. The default is Unix seconds.
    pub const fn with_time_form(mut self, form: TimeForm) -> Self {
        self.time = form;
        self.checked()
    }

    /// Sets the JSON Pointer of the time of signing, which the body carries as text or number. If the body is
    /// signed, so is this time.
    ///
    /// # Panics
    ///
    /// When the time already has a header or a field.
    pub const fn with_json_timestamp(mut self, pointer: &'static str) -> Self {
        self.json_time = Some(pointer);
        self.checked()
    }

    /// Sets in which other forms the sender may have signed its URL, beside the one that is configured.
    pub const fn with_url_form(mut self, form: UrlForm) -> Self {
        self.url_form = form;
        self.checked()
    }

    /// Sets in which other form the sender may have signed its content, beside the one that it sends.
    pub const fn with_content_form(mut self, form: ContentForm) -> Self {
        self.content_form = form;
        self.checked()
    }

    /// Demands that the query of the URL has the hex of the body's SHA-256 under this key, which covers the
    /// body if the URL is signed.
    pub const fn with_body_digest_in_query(mut self, key: &'static str) -> Self {
        self.query_digest = Some(key);
        self.checked()
    }

    /// Signs each item of the list at this JSON Pointer by itself: the pointers of signature and content are
    /// those in an item. Each item has to be proven.
    pub const fn with_each(mut self, list: &'static str) -> Self {
        self.each = Some(list);
        self.checked()
    }

    /// Sets the HMAC key to the bytes that the secret's text has as hex digits.
    pub const fn with_hex_key(mut self) -> Self {
        self.key_form = KeyForm::Hex;
        self.checked()
    }

    /// Sets the HMAC key to the SHA-1 of the secret's text, as at Braintree.
    pub const fn with_sha1_key(mut self) -> Self {
        self.key_form = KeyForm::Sha1;
        self.checked()
    }

    /// Sets the parts that are signed, in their order.
    ///
    /// # Panics
    ///
    /// When two messages could have the same content: if more than one part may be any text; if the id, a
    /// header or a field is not followed by a text that ends it (or preceded by one, behind the body); if the
    /// id or the time stands twice or nothing sends it.
    pub const fn with_content(mut self, content: &'static [Part]) -> Self {
        self.content = content;
        assert!(
            !matches!(self.place, SignaturePlace::Json(_) | SignaturePlace::Form(_)) || !self.has_body(),
            "a body that carries its signature cannot be signed whole"
        );
        self.checked()
    }

    /// Sets the encoding of signatures to base64 with padding. The default is lower-case hex.
    pub const fn with_base64_signature(mut self) -> Self {
        self.encoding = Encoding::Base64;
        self
    }

    /// Sets the HMAC key to the bytes that the secret's text decodes to as base64, after `whsec_`. The
    /// default is the text.
    pub const fn with_base64_key(mut self) -> Self {
        self.key_form = KeyForm::Base64;
        self.checked()
    }

    /// Takes Ed25519 keys beside HMAC keys: the secret's prefix picks the algorithm, never the header.
    ///
    /// A `whsk_` secret signs and verifies, a `whpk_` one verifies; their signatures are the entries
    /// `v1a,<base64>` of the list (Standard Webhooks `v1a`). They need the feature `ed25519`; without it,
    /// [`Signer`](crate::Signer) and [`Verifier`](crate::Verifier) refuse them. Any other secret must begin
    /// with `whsec_`.
    ///
    /// # Panics
    ///
    /// When the layout of the signature header is not a [list](Self::with_list).
    pub const fn with_ed25519_keys(mut self) -> Self {
        self.takes_ed25519 = true;
        self.checked()
    }

    /// The scheme's name in snake case, for logs and messages.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The algorithm of the signatures.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The parts that are signed, in their order.
    pub const fn content(&self) -> &'static [Part] {
        self.content
    }

    pub(crate) const fn has_body(&self) -> bool {
        let mut at = 0;
        while at < self.content.len() {
            if matches!(self.content[at], Part::Body) {
                return true;
            }
            at += 1;
        }
        false
    }

    /// Whether the signature covers the body, whole or by its parts.
    pub const fn signs_body(&self) -> bool {
        let mut at = 0;
        while at < self.content.len() {
            if matches!(self.content[at], Part::Body | Part::BodyMd5 | Part::SortedForm) {
                return true;
            }
            at += 1;
        }
        self.query_digest.is_some()
    }

    /// Whether the signature covers the URL, so that a verifier has to know it.
    pub const fn signs_url(&self) -> bool {
        let mut at = 0;
        while at < self.content.len() {
            if matches!(self.content[at], Part::Url | Part::UrlWithoutQuery | Part::Path | Part::SortedQuery)
            {
                return true;
            }
            at += 1;
        }
        false
    }

    /// The lower-case name of the header with the signature; empty if the body carries it.
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

    /// Whether the signature header can carry several signatures, so that old secrets can sign beside the
    /// newest. Under any other scheme the newest secret signs alone.
    pub const fn carries_several(&self) -> bool {
        !matches!(self.layout, Layout::Single { .. } | Layout::Columns { entries: None, .. })
    }

    /// Whether the signature covers the message's id.
    pub const fn signs_id(&self) -> bool {
        self.id_separator.is_some()
    }

    /// Whether the signature covers the time of signing. Only then can the age of a message be checked.
    pub const fn signs_time(&self) -> bool {
        self.signs_time
    }

    /// The lower-case names of all headers that the scheme sends and requires.
    pub fn headers(&self) -> impl Iterator<Item = &'static str> + use<> {
        let signature = Some(self.signature_header).filter(|name| !name.is_empty());
        let signed = self.content.iter().filter_map(|part| match part {
            Part::Header(name) => Some(*name),
            _ => None,
        });
        [self.id_header, self.timestamp_header, signature].into_iter().flatten().chain(signed)
    }

    /// Whether a message has a time of signing, in a header of its own or inside the signature header.
    pub(super) const fn sends_time(&self) -> bool {
        self.timestamp_header.is_some() || self.layout.carries_time() || self.json_time().is_some()
    }

    /// The JSON Pointer of the time, if the content has the time and the body carries it.
    pub(crate) const fn json_time(&self) -> Option<&'static str> {
        self.json_time
    }

    /// Sets other names of the headers, which a verifier accepts in place of the scheme's own. Some senders
    /// put their customers' names there.
    ///
    /// A request needs all headers of one of the two families; headers of both are never mixed. A signer
    /// writes the scheme's own.
    ///
    /// ```
    /// use hookwire::Scheme;
    /// use hookwire::signature::HeaderFamily;
    ///
    /// const ACME: Scheme = Scheme::STANDARD_WEBHOOKS.with_other_headers(
    ///     &HeaderFamily::new("acme-signature").with_id("acme-id").with_timestamp("acme-timestamp"),
    /// );
    /// # let _ = ACME;
    /// ```
    ///
    /// # Panics
    ///
    /// When the family lacks a header that the scheme has, or has one that the scheme lacks, or the scheme
    /// signs more than id, time and body.
    pub const fn with_other_headers(mut self, family: &'static HeaderFamily) -> Self {
        assert!(
            family.id.is_some() == self.id_header.is_some()
                && family.timestamp.is_some() == self.timestamp_header.is_some(),
            "a family has the headers of its scheme"
        );
        assert!(self.is_plain, "only a signature over id, time and body has other headers");
        self.other_headers = Some(family);
        self.checked()
    }

    /// Other names of the headers, which a verifier accepts in place of the scheme's own.
    pub const fn other_headers(&self) -> Option<&'static HeaderFamily> {
        self.other_headers
    }

    /// The scheme with the other names of its headers in place of its own.
    pub(super) const fn in_family(mut self, family: HeaderFamily) -> Self {
        self.signature_header = family.signature;
        self.id_header = family.id;
        self.timestamp_header = family.timestamp;
        self.other_headers = None;
        self
    }

    /// The scheme's own headers.
    pub(super) const fn family(&self) -> HeaderFamily {
        HeaderFamily {
            signature: self.signature_header,
            id: self.id_header,
            timestamp: self.timestamp_header,
        }
    }

    /// The other names of its headers.
    pub(super) fn other_header_names(&self) -> Option<HeaderNames> {
        self.other_headers.map(|family| HeaderNames::new(*family))
    }

    /// The names of its headers, made once for each signer or verifier.
    pub(super) fn header_names(&self) -> HeaderNames {
        // A scheme without a header has another way, which does not ask for its name.
        let signature = if self.signature_header.is_empty() { "signature" } else { self.signature_header };
        HeaderNames::new(HeaderFamily { signature, ..self.family() })
    }
}

/// The names of a scheme's headers, ready for comparison.
#[derive(Clone)]
pub(super) struct HeaderNames {
    pub(super) signature: HeaderName,
    pub(super) id: Option<HeaderName>,
    pub(super) timestamp: Option<HeaderName>,
    /// Their texts, for errors.
    pub(super) family: HeaderFamily,
}

impl HeaderNames {
    fn new(family: HeaderFamily) -> Self {
        Self {
            signature: HeaderName::from_static(family.signature),
            id: family.id.map(HeaderName::from_static),
            timestamp: family.timestamp.map(HeaderName::from_static),
            family,
        }
    }
}
