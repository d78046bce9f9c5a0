//! [`Json`]: a JSON text that is read part by part, so that nothing in it hides the rest.

use std::cell::OnceCell;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Number, Value};

/// A JSON text. Its parts are found when they are asked for, each once.
///
/// A parser that builds values refuses what other parsers read: `1e400`, a lone surrogate, or more than 128
/// levels. Here such a part only equals nothing. If two members have one name, the last counts, as in
/// JavaScript and Python.
#[derive(Debug)]
pub(crate) struct Json<'a> {
    text: &'a str,
    parts: OnceCell<Parts<'a>>,
}

#[derive(Debug)]
enum Parts<'a> {
    Object(Vec<(Vec<u8>, Json<'a>)>),
    List(Vec<Json<'a>>),
    None,
}

impl<'a> Json<'a> {
    /// Takes a JSON text, without white space around it.
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, parts: OnceCell::new() }
    }

    /// The last member of this name, if it is an object.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        match self.parts() {
            Parts::Object(members) => {
                members.iter().rev().find(|(own, _)| own == name.as_bytes()).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The place that a JSON pointer leads to (RFC 6901).
    pub(crate) fn at(&self, pointer: &str) -> Option<&Self> {
        let mut found = self;
        // The first name stands behind the first slash.
        for name in pointer.split('/').skip(1) {
            let name = name.replace("~1", "/").replace("~0", "~");
            found = match found.parts() {
                Parts::Object(_) => found.member(&name)?,
                Parts::List(items) => items.get(index(&name)?)?,
                Parts::None => return None,
            };
        }
        Some(found)
    }

    /// The items, if it is a list.
    pub(crate) fn items(&self) -> Option<&[Self]> {
        match self.parts() {
            Parts::List(items) => Some(items),
            _ => None,
        }
    }

    /// Whether it is this value. Two whole numbers are compared exactly, others as 64-bit floating-point
    /// numbers, whatever their notation. A list or an object equals nothing.
    pub(crate) fn is(&self, value: &Value) -> bool {
        match value {
            Value::Null => self.text == "null",
            Value::Bool(wanted) => self.text == if *wanted { "true" } else { "false" },
            Value::Number(wanted) => self.number().is_some_and(|found| is_same(wanted, found)),
            Value::String(wanted) => self.bytes().is_some_and(|found| found == wanted.as_bytes()),
            Value::Array(_) | Value::Object(_) => false,
        }
    }

    /// The text of a number, as it is written.
    pub(crate) fn number(&self) -> Option<&'a str> {
        self.text.starts_with(|first: char| first == '-' || first.is_ascii_digit()).then_some(self.text)
    }

    /// The bytes of a text. They are UTF-8 unless it holds half of a surrogate pair.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        if !self.text.starts_with('"') {
            return None;
        }
        serde_json::from_str::<Bytes>(self.text).ok().map(|Bytes(bytes)| bytes)
    }

    fn parts(&self) -> &Parts<'a> {
        self.parts.get_or_init(|| match self.text.as_bytes().first() {
            Some(b'{') => serde_json::from_str(self.text).map_or(Parts::None, |Members(members)| {
                Parts::Object(
                    members.into_iter().map(|(name, value)| (name, Self::new(value.get()))).collect(),
                )
            }),
            Some(b'[') => serde_json::from_str(self.text).map_or(Parts::None, |items: Vec<&RawValue>| {
                Parts::List(items.into_iter().map(|item| Self::new(item.get())).collect())
            }),
            _ => Parts::None,
        })
    }
}

/// The place in a list that a name of a pointer stands for: digits without a zero before them.
fn index(name: &str) -> Option<usize> {
    let is_number = name == "0" || !name.starts_with('0') && name.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| name.parse().ok()).flatten()
}

fn is_same(wanted: &Number, found: &str) -> bool {
    let is_whole = found.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if is_whole && !wanted.is_f64() {
        return found.parse().is_ok_and(|found: i128| Some(found) == wanted.as_i128());
    }
    // The wanted number came through serde_json's parser, which may be off by the last bit.
    let read = [found.parse().ok(), serde_json::from_str(found).ok()];
    wanted.as_f64().is_some_and(|wanted| read.into_iter().flatten().any(|found: f64| found == wanted))
}

/// The members of an object, in their order. Names are bytes, because half of a surrogate pair is no text.
struct Members<'a>(Vec<(Vec<u8>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Bytes(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Text)
    }
}
