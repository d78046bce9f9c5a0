//! The bytes that a body may have been when it was signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

use crate::event;
use crate::json::{Style, escapes, restyle};
use crate::mistakes::Try;
use crate::order;
use crate::printed;

/// The body as it was captured, and after it the body as it may have been before something changed it.
pub(crate) fn bodies(body: &[u8]) -> Vec<Try<Vec<u8>>> {
    let mut tries = Tries { known: vec![Try { value: body.to_vec(), mistakes: vec![] }] };
    tries.add(body.trim_ascii_end(), &[NEWLINE_ADDED]);
    if let Some(rest) = body.strip_suffix(b"\n") {
        tries.add(rest, &[NEWLINE_ADDED]);
    }
    tries.add([body, b"\n"].concat(), &[NEWLINE_CUT]);
    match body.strip_prefix(MARK) {
        Some(rest) => tries.add(rest, &[MARK_ADDED]),
        None => tries.add([MARK, body].concat(), &[MARK_CUT]),
    }
    let Ok(text) = std::str::from_utf8(body) else { return tries.known };
    let unix = text.replace("\r\n", "\n");
    tries.add(unix.replace('\n', "\r\n"), &[LINE_ENDS]);
    tries.add(unix, &[LINE_ENDS]);
    // There are many ways to write JSON, and each costs an HMAC under each of many keys.
    if body.len() <= MAX_REWRITTEN {
        tries.add_json(text, &[]);
        let unquoted = serde_json::from_str::<String>(text).ok();
        let decoded = STANDARD.decode(text.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        for (unwrapped, mistake) in
            [(unquoted, QUOTED), (decoded, IN_BASE64), (printed::as_json(text), PRINTED)]
        {
            if let Some(json) = unwrapped {
                tries.add(json.as_str(), &[mistake]);
                tries.add_json(&json, &[mistake]);
            }
        }
    }
    tries.known
}

struct Tries {
    known: Vec<Try<Vec<u8>>>,
}

impl Tries {
    fn add(&mut self, value: impl Into<Vec<u8>>, mistakes: &[&'static str]) {
        let value = value.into();
        if self.known.iter().all(|known| known.value != value) {
            self.known.push(Try { value, mistakes: mistakes.to_vec() });
        }
    }

    /// Adds the same JSON as other programs write it.
    fn add_json(&mut self, json: &str, mistakes: &[&'static str]) {
        if serde_json::from_str::<IgnoredAny>(json).is_err() {
            return;
        }
        let own_style = Style::ALL.into_iter().find(|style| restyle(json, *style) == json);
        let template = event::sample(json.as_bytes()).map(|sample| order::like(json, &sample));
        let orders = [Some((json.to_owned(), None)), Some((order::sorted(json), Some(KEYS)))];
        for (ordered, keys) in orders.into_iter().chain([template.map(|json| (json, Some(KEYS)))]).flatten() {
            let escaped = escapes(&ordered).into_iter().map(|json| (json, Some(ESCAPES)));
            for (json, escapes) in std::iter::once((ordered, None)).chain(escaped) {
                for style in Style::ALL {
                    let space = (own_style != Some(style)).then_some(WHITE_SPACE);
                    let written = mistakes.iter().copied().chain(keys).chain(escapes).chain(space);
                    let mistakes: Vec<_> = written.chain([REWRITTEN]).collect();
                    let json = restyle(&json, style);
                    self.add(json.as_str(), &mistakes);
                    self.add(json + "\n", &mistakes);
                }
            }
        }
    }
}

/// Whether the sentence says that the body was parsed, or printed, instead of read.
pub(crate) fn is_reserialized(line: &str) -> bool {
    [REWRITTEN, PRINTED, QUOTED, IN_BASE64].contains(&line)
}

/// No event has as many bytes.
const MAX_REWRITTEN: usize = 32 << 10;
/// A byte order mark, as editors on Windows write it.
const MARK: &[u8] = b"\xef\xbb\xbf";

const NEWLINE_ADDED: &str = "the signature is right without the newline at the end of the body: an editor, `echo` or the \
                             capture added it";
const NEWLINE_CUT: &str =
    "the signature is right with a newline at the end of the body: something cut it off";
const MARK_ADDED: &str =
    "the signature is right without the byte order mark before the body: an editor added it";
const MARK_CUT: &str = "the signature is right with a byte order mark before the body: something cut it off";
const LINE_ENDS: &str =
    "the signature is right with other line ends (CRLF or LF) in the body: something changed them";
const QUOTED: &str = "the body is a JSON string that holds the JSON which was signed: it was encoded twice";
const IN_BASE64: &str =
    "the body is base64 of what was signed: a gateway hands it on like that; decode it before it is verified";
const PRINTED: &str =
    "the body is what a program prints of a parsed object, not the bytes that came: capture those";
const KEYS: &str = "the signature is right over the same JSON with its keys in another order";
const ESCAPES: &str =
    "the signature is right over the same JSON with other escapes, such as \\u00e9 for é or \\/ for /";
const WHITE_SPACE: &str =
    "the signature is right over the same JSON with other white space, compact or indented";
const REWRITTEN: &str =
    "so the body was parsed and re-serialized; verify the raw bytes, before anything parses them";
