//! The command line of the inspector.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use time::OffsetDateTime;

use crate::given::Given;

pub(crate) struct Options {
    /// `None` for the standard input.
    file: Option<PathBuf>,
    /// The secrets in the order in which they were given.
    pub(crate) secrets: Vec<String>,
    pub(crate) now: OffsetDateTime,
    /// The provider that is named, and its keys beside the secrets.
    pub(crate) provider: Option<String>,
    pub(crate) given: Given,
    pub(crate) url: Option<String>,
    /// The file with the body, for captures without it.
    body: Option<PathBuf>,
}

impl Options {
    /// Parses the arguments. Returns `None` if help was asked for. No error repeats an argument's value,
    /// because it may be the secret.
    ///
    /// Two flags do not need an argument parser, which every user of the crate would build with the examples.
    pub(crate) fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Option<Self>, String> {
        let (mut file, mut secrets, mut now) = (None, Vec::new(), None);
        let (mut provider, mut url, mut given) = (None, None, Given::default());
        let mut body = None;
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
                "--secret" | "--key" => {
                    secrets.push(value()?);
                    secrets.len() > MAX_SECRETS
                }
                "--provider" => provider.replace(value()?).is_some(),
                "--body" => body.replace(PathBuf::from(value()?)).is_some(),
                "--url" => url.replace(value()?).is_some(),
                "--keys" => {
                    given.files.push(value()?);
                    given.files.len() > MAX_SECRETS
                }
                "--verify-token" => given.verify_token.replace(value()?).is_some(),
                "--key-id" => given.key_id.replace(value()?).is_some(),
                "--email" => given.email.replace(value()?).is_some(),
                "--audience" => given.audience.replace(value()?).is_some(),
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
                    return Err("unknown option, expected one of those below".to_owned());
                }
                _ => file.replace(Some(PathBuf::from(arg))).is_some(),
            };
            if again {
                return Err(
                    "a file or a time is given twice, or more secrets than any sender rotates".to_owned()
                );
            }
        }
        // An empty secret comes from a variable that is not set.
        secrets.retain(|secret| !secret.trim().is_empty());
        let now = now.unwrap_or_else(OffsetDateTime::now_utc);
        given.secrets = secrets.clone();
        Ok(Some(Self { file: file.flatten(), secrets, now, provider, given, url, body }))
    }

    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        read(match &self.file {
            Some(path) => Box::new(File::open(path)?),
            None => Box::new(io::stdin()),
        })
    }

    /// The body that was given beside the request.
    pub(crate) fn read_body(&self) -> io::Result<Option<Vec<u8>>> {
        self.body.as_ref().map(|path| read(Box::new(File::open(path)?))).transpose()
    }
}

fn read(source: Box<dyn Read>) -> io::Result<Vec<u8>> {
    let mut input = Vec::new();
    source.take(MAX_INPUT + 1).read_to_end(&mut input)?;
    if input.len() as u64 > MAX_INPUT {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    Ok(input)
}

const MAX_INPUT: u64 = 16 << 20;
const MAX_SECRETS: usize = 8;

pub(crate) const USAGE: &str = "\
usage: inspect [FILE] [--secret S]... [--now UNIX] [--provider NAME] [--keys FILE]... [--url URL] [--body FILE]

  FILE             a captured request: request line, headers, empty line, body; or the output of `curl -v`, a `curl`
                   command, a HAR file, the JSON of API Gateway or Lambda; `-` or nothing for the standard input
  --secret S       the secret, as the platform shows it; several while one replaces another, and it says which has
                   signed; without one nothing can be verified
  --now UNIX       when the request came in, in Unix seconds; now, if not given
  --provider NAME  the provider that sent it, such as stripe or twilio_form; it is recognized, if not given
  --keys FILE      a file with keys: PEM of public keys or certificates, a JSON Web Key Set, or secrets, one a line
  --body FILE      the body, byte for byte, for a capture without it such as that of `curl -v`
  --url URL        the URL that the provider was given; from the request, if not given
  --verify-token T the token that a challenge shows (Meta)
  --key-id ID      the public name of the key (Braintree), or the id of the webhook (PayPal)
  --email E        the service account that tokens name (Google Pub/Sub)
  --audience A     the audience of tokens, if it is another than the URL (Google Pub/Sub)

A challenge of the provider is answered: `answer: STATUS`, the headers, an empty line and the body.
";
