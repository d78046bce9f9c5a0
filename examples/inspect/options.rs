//! The command line of the inspector.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use time::OffsetDateTime;

pub(crate) struct Options {
    /// `None` for the standard input.
    file: Option<PathBuf>,
    /// In the order in which they were given.
    pub(crate) secrets: Vec<String>,
    pub(crate) now: OffsetDateTime,
}

impl Options {
    /// By hand: two flags are no reason for every user of the crate to build an argument parser with the examples.
    ///
    /// `None` when help was asked for. No argument's value is repeated in an error: it may be the secret.
    pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Option<Self>, String> {
        let (mut file, mut secrets, mut now) = (None, Vec::new(), None);
        while let Some(arg) = args.next() {
            let (name, inline) = match arg.to_str().and_then(|arg| arg.split_once('=')) {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ => (arg.to_string_lossy().into_owned(), None),
            };
            let mut value = || match inline.clone() {
                Some(value) => Ok(value),
                None => args
                    .next()
                    .ok_or_else(|| format!("{name} needs a value"))?
                    .into_string()
                    .map_err(|_| format!("the value of {name} is not UTF-8")),
            };
            let again = match name.as_str() {
                "--help" | "-h" => return Ok(None),
                "--secret" => {
                    secrets.push(value()?);
                    secrets.len() > MAX_SECRETS
                }
                "--now" => {
                    let at = value()?
                        .parse()
                        .ok()
                        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
                        .ok_or("--now is not a time in Unix seconds")?;
                    now.replace(at).is_some()
                }
                "-" => file.replace(None).is_some(),
                option if option.starts_with('-') => {
                    return Err("unknown option, expected --secret or --now".to_owned());
                }
                _ => file.replace(Some(PathBuf::from(arg))).is_some(),
            };
            if again {
                return Err(
                    "a file or a time is given twice, or more secrets than any sender rotates".to_owned()
                );
            }
        }
        // A variable that is not set is no secret.
        secrets.retain(|secret| !secret.trim().is_empty());
        let now = now.unwrap_or_else(OffsetDateTime::now_utc);
        Ok(Some(Self { file: file.flatten(), secrets, now }))
    }

    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        let mut input = Vec::new();
        let source: Box<dyn Read> = match &self.file {
            Some(path) => Box::new(File::open(path)?),
            None => Box::new(io::stdin()),
        };
        source.take(MAX_INPUT + 1).read_to_end(&mut input)?;
        if input.len() as u64 > MAX_INPUT {
            return Err(io::Error::other("it is larger than 16 MiB"));
        }
        Ok(input)
    }
}

const MAX_INPUT: u64 = 16 << 20;
const MAX_SECRETS: usize = 8;

pub(crate) const USAGE: &str = "\
usage: inspect [FILE] [--secret S]... [--now UNIX]

  FILE        a captured request: request line, headers, empty line, body; `-` or nothing for the standard input
  --secret S  the secret, as the platform shows it; several while one replaces another, and it says which has signed;
              without one nothing can be verified
  --now UNIX  when the request came in, in Unix seconds; now, if not given
";
