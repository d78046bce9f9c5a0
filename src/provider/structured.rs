//! [`Dictionary`]: a dictionary of structured fields (RFC 9651 section 3.2), as far as signatures use it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_PAD_INDIFFERENT;

/// A dictionary. The last of two members of one name counts.
pub(super) struct Dictionary {
    pub(super) members: BTreeMap<String, Member>,
}

pub(super) enum Member {
    Item(Item),
    List(InnerList),
}

/// A bare item.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Bytes(Vec<u8>),
    Text(String),
    Integer(i64),
    /// A token, a truth value or a decimal, which no signature needs.
    Other,
}

/// An inner list of strings with parameters, and its text.
pub(super) struct InnerList {
    pub(super) items: Vec<Component>,
    pub(super) parameters: BTreeMap<String, Item>,
    pub(super) text: String,
}

/// A covered component: a name, and its text with parameters.
pub(super) struct Component {
    pub(super) name: String,
    pub(super) query_name: Option<String>,
    pub(super) has_parameters: bool,
    pub(super) text: String,
}

impl InnerList {
    pub(super) fn text(&self, parameter: &str) -> Option<&str> {
        match self.parameters.get(parameter)? {
            Item::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn integer(&self, parameter: &str) -> Option<i64> {
        match self.parameters.get(parameter)? {
            Item::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

impl Dictionary {
    /// `None` if the text breaks the grammar.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut scan = Scan { text: text.trim_matches(' '), at: 0 };
        let mut members = BTreeMap::new();
        while !scan.is_done() {
            let name = scan.key()?;
            let member = match scan.take('=') {
                true if scan.peek() == Some('(') => Member::List(scan.inner_list()?),
                true => {
                    let item = scan.item()?;
                    scan.parameters()?;
                    Member::Item(item)
                }
                false => {
                    scan.parameters()?;
                    Member::Item(Item::Other)
                }
            };
            members.insert(name, member);
            scan.white_space();
            if scan.is_done() {
                break;
            }
            if !scan.take(',') {
                return None;
            }
            scan.white_space();
            // A comma at the end is an error.
            if scan.is_done() {
                return None;
            }
        }
        Some(Self { members })
    }
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl Scan<'_> {
    fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, letter: char) -> bool {
        let is_there = self.peek() == Some(letter);
        if is_there {
            self.at += letter.len_utf8();
        }
        is_there
    }

    fn take_while(&mut self, is_wanted: impl Fn(char) -> bool) -> &str {
        let begin = self.at;
        while let Some(letter) = self.peek().filter(|letter| is_wanted(*letter)) {
            self.at += letter.len_utf8();
        }
        &self.text[begin..self.at]
    }

    fn white_space(&mut self) {
        self.take_while(|letter| letter == ' ' || letter == '\t');
    }

    fn key(&mut self) -> Option<String> {
        let first = self.peek()?;
        if !(first.is_ascii_lowercase() || first == '*') {
            return None;
        }
        let is_key = |letter: char| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '_' | '-' | '.' | '*')
        };
        Some(self.take_while(is_key).to_owned())
    }

    fn inner_list(&mut self) -> Option<InnerList> {
        let begin = self.at;
        if !self.take('(') {
            return None;
        }
        let mut items = Vec::new();
        loop {
            self.take_while(|letter| letter == ' ');
            if self.take(')') {
                break;
            }
            let from = self.at;
            let Item::Text(name) = self.item()? else { return None };
            let parameters = self.parameters()?;
            let query_name = match parameters.get("name") {
                Some(Item::Text(name)) => Some(name.clone()),
                _ => None,
            };
            let has_parameters = !parameters.is_empty();
            let text = self.text[from..self.at].to_owned();
            items.push(Component { name, query_name, has_parameters, text });
            if !matches!(self.peek(), Some(' ' | ')')) || items.len() > MAX_COMPONENTS {
                return None;
            }
        }
        let parameters = self.parameters()?;
        Some(InnerList { items, parameters, text: self.text[begin..self.at].to_owned() })
    }

    fn parameters(&mut self) -> Option<BTreeMap<String, Item>> {
        let mut parameters = BTreeMap::new();
        while self.take(';') {
            self.take_while(|letter| letter == ' ');
            let name = self.key()?;
            let value = if self.take('=') { self.item()? } else { Item::Other };
            parameters.insert(name, value);
        }
        Some(parameters)
    }

    fn item(&mut self) -> Option<Item> {
        match self.peek()? {
            '"' => self.string(),
            ':' => {
                self.at += 1;
                let base64 = self.take_while(|letter| letter != ':').to_owned();
                if !self.take(':') {
                    return None;
                }
                STANDARD_PAD_INDIFFERENT.decode(base64).ok().map(Item::Bytes)
            }
            '-' | '0'..='9' => {
                let number =
                    self.take_while(|letter| letter == '-' || letter == '.' || letter.is_ascii_digit());
                match number.contains('.') {
                    true => Some(Item::Other),
                    false if number.len() > 16 => None,
                    false => number.parse().ok().map(Item::Integer),
                }
            }
            '?' => {
                self.at += 1;
                (self.take('0') || self.take('1')).then_some(Item::Other)
            }
            'A'..='Z' | 'a'..='z' | '*' => {
                self.take_while(|letter| {
                    letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(letter)
                });
                Some(Item::Other)
            }
            _ => None,
        }
    }

    fn string(&mut self) -> Option<Item> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let letter = self.peek()?;
            self.at += letter.len_utf8();
            match letter {
                '"' => return Some(Item::Text(text)),
                '\\' => {
                    let escaped = self.peek().filter(|letter| matches!(letter, '"' | '\\'))?;
                    self.at += 1;
                    text.push(escaped);
                }
                ' '..='~' => text.push(letter),
                _ => return None,
            }
        }
    }
}

const MAX_COMPONENTS: usize = 64;
