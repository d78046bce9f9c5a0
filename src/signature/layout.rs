//! [`Layout`] and its parts: where a signature stands in a request, and in which form.

/// The form of the signature's text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Layout {
    /// `prefix` and one signature.
    Single { prefix: &'static str },
    /// `version,signature` entries separated by spaces.
    List { version: &'static str },
    /// `name=value` fields separated by commas.
    Fields { timestamp: &'static str, signature: &'static str },
    /// `name=value` fields with another separator, or without a time.
    Named { separator: u8, timestamp: Option<&'static str>, signature: &'static str },
    /// Signatures after a prefix each, with a separator between them.
    Tags { separator: u8, prefix: &'static str },
    /// Columns with a separator between them, in one row or in several.
    Columns { entries: Option<u8>, separator: u8, columns: &'static [Column] },
}

impl Layout {
    /// Whether the signature's text carries the time of signing.
    pub(super) const fn carries_time(&self) -> bool {
        match self {
            Self::Fields { .. } | Self::Named { timestamp: Some(_), .. } => true,
            Self::Columns { columns, .. } => {
                let mut at = 0;
                while at < columns.len() {
                    if matches!(columns[at], Column::Timestamp) {
                        return true;
                    }
                    at += 1;
                }
                false
            }
            _ => false,
        }
    }
}

/// One column of a signature's text, see [`Scheme::with_columns`](crate::Scheme::with_columns).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Column {
    /// A fixed text.
    Text(&'static str),
    /// Any text, such as the id of a key.
    Any,
    /// The time of signing.
    Timestamp,
    /// The signature.
    Signature,
}

/// The place of the signature in a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum SignaturePlace {
    /// One header.
    Header,
    /// One header, and these beside it.
    Headers(&'static [&'static str]),
    /// Headers that end in a number.
    Numbered,
    /// A text in the JSON body, by its pointer.
    Json(&'static str),
    /// A field of the form body.
    Form(&'static str),
}

/// The other forms in which a sender may have signed its URL, beside the one that is configured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum UrlForm {
    /// None: the URL as it is configured.
    AsGiven,
    /// With and without the port, as Twilio signs it.
    AnyPort,
    /// With some escapes decoded, as HubSpot signs it.
    Unescaped,
}

/// The other forms in which a sender may have signed its content, beside the one that it sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ContentForm {
    /// None: the content as it is sent.
    AsSent,
    /// The body with `\uXXXX` in place of every character beyond printable ASCII, as Box signs it.
    EscapedBody,
    /// The content with a line feed at its end, as Braintree signs it.
    FinalLineFeed,
}
