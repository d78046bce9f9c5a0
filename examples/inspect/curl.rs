//! Reads the output of `curl -v`, and `curl` commands as browsers and request bins copy them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::formats::Draft;

/// The first request in the output of `curl -v`, whose lines begin with `> `. The body is not among them.
pub(crate) fn verbose(text: &str) -> Option<Draft> {
    let sent = |line: &str| line.strip_prefix('>').map(|rest| rest.trim().to_owned());
    let mut lines = text.lines().map_while(|line| Some(line.trim_end())).filter_map(sent);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    let mut draft = Draft { method: method.to_owned(), target: target.to_owned(), ..Draft::default() };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        draft.headers.push((name.to_owned(), value.to_owned()));
    }
    draft.notes.push("curl -v does not show the body: give it with --body FILE".to_owned());
    Some(draft)
}

/// The request that a `curl` command makes.
pub(crate) fn command(text: &str) -> Option<Draft> {
    let mut words = words(text)?.into_iter().skip(1);
    let (mut draft, mut data, mut json) = (Draft::default(), Vec::new(), false);
    while let Some(word) = words.next() {
        // `-XPOST` and `--request=POST` are one word.
        let (name, mut inline) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ if word.starts_with('-') && !word.starts_with("--") && word.len() > 2 => {
                word.split_at_checked(2).map(|(name, value)| (name.to_owned(), Some(value.to_owned())))?
            }
            _ => (word, None),
        };
        let mut value = || inline.take().or_else(|| words.next());
        match &*name {
            "-X" | "--request" => draft.method = value()?,
            "-H" | "--header" => {
                let header = value()?;
                let (name, value) = header.split_once(':').unwrap_or((&header, ""));
                draft.headers.push((name.to_owned(), value.to_owned()));
            }
            "-d" | "--data" | "--data-raw" | "--data-binary" | "--data-ascii" | "--json" => {
                json |= name == "--json";
                let value = value()?;
                if value.starts_with('@') && name != "--data-raw" {
                    draft
                        .notes
                        .push("the command takes the body from a file: give it with --body".to_owned());
                }
                data.push(value);
            }
            "-u" | "--user" => {
                let credentials = format!("Basic {}", STANDARD.encode(value()?));
                draft.headers.push(("authorization".to_owned(), credentials));
            }
            "-A" | "--user-agent" => draft.headers.push(("user-agent".to_owned(), value()?)),
            "-b" | "--cookie" => draft.headers.push(("cookie".to_owned(), value()?)),
            "-o" | "--output" | "-e" | "--referer" | "-m" | "--max-time" | "-x" | "--proxy" => drop(value()?),
            "--url" => draft.target = value()?,
            "-I" | "--head" => draft.method = "HEAD".to_owned(),
            option if option.starts_with('-') => {}
            url => draft.target = url.to_owned(),
        }
    }
    if draft.method.is_empty() && data.is_empty() {
        draft.method = "GET".to_owned();
    }
    if !data.is_empty() && !draft.has("content-type") {
        let form = if json { "application/json" } else { "application/x-www-form-urlencoded" };
        draft.headers.push(("content-type".to_owned(), form.to_owned()));
    }
    draft.body = data.join("&").into_bytes();
    (!draft.target.is_empty()).then_some(draft)
}

/// The words of a shell command: quotes, `$'..'`, and backslashes at the ends of lines.
fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut open) = (Vec::new(), String::new(), false);
    let mut letters = text.trim().chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                open = true;
                word.extend(letters.by_ref().take_while(|letter| *letter != '\''));
            }
            '$' if letters.peek() == Some(&'\'') => {
                open = true;
                letters.next();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        '\\' => word.push(match letters.next()? {
                            'n' => '\n',
                            'r' => '\r',
                            't' => '\t',
                            'u' => {
                                let digits: String = letters.by_ref().take(4).collect();
                                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                            }
                            other => other,
                        }),
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                open = true;
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            letter @ ('"' | '\\' | '$' | '`') => word.push(letter),
                            '\n' => {}
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            '\\' => match letters.next()? {
                '\n' => {}
                '\r' => drop(letters.next_if_eq(&'\n')),
                other => {
                    open = true;
                    word.push(other);
                }
            },
            letter if letter.is_whitespace() => {
                if open {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            letter => {
                open = true;
                word.push(letter);
            }
        }
    }
    if open {
        words.push(word);
    }
    Some(words)
}
