//! The command line of the programs that listen.

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// A program's `main`: `parse` turns the flags into the arguments of `run`.
///
/// The exit code is 0 on success, 1 on failure, and 2 for an invalid command line.
pub(crate) async fn main<T, R>(
    usage: &str,
    names: Names<'_>,
    parse: impl FnOnce(&Flags) -> Result<T, Box<dyn Error>>,
    run: impl FnOnce(T) -> R,
) -> ExitCode
where
    R: Future<Output = Result<(), Box<dyn Error>>>,
{
    let program = usage.split_whitespace().nth(1).unwrap_or_default();
    let parsed = match Flags::parse(std::env::args_os().skip(1), names) {
        Ok(Some(flags)) => parse(&flags).map_err(|error| error.to_string()),
        Ok(None) => {
            // `print!` would panic if the reader is gone.
            let _ = io::stdout().write_all(usage.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(problem) => Err(problem),
    };
    let options = match parsed {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{program}: {problem}\n\n{usage}");
            return ExitCode::from(2);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut line = format!("{program}: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                line += &format!(": {error}");
                cause = error.source();
            }
            eprintln!("{line}");
            ExitCode::FAILURE
        }
    }
}

/// The flags that a program knows.
#[derive(Clone, Copy, Default)]
pub(crate) struct Names<'a> {
    /// Required flags with a value.
    pub(crate) needed: &'a [&'a str],
    /// Optional flags with a value.
    pub(crate) optional: &'a [&'a str],
    /// Flags without a value.
    pub(crate) alone: &'a [&'a str],
    /// Flags with a value that may be given more than once.
    pub(crate) repeated: &'a [&'a str],
}

impl<'a> Names<'a> {
    fn all(self) -> impl Iterator<Item = &'a str> {
        [self.needed, self.optional, self.alone].into_iter().flatten().copied()
    }
}

/// `--name value`, `--name=value` and `--name`, each at most once unless it may be repeated.
pub(crate) struct Flags {
    given: Vec<(String, String)>,
}

impl Flags {
    /// Parses the arguments by hand, so that users of the crate need not build an argument parser for the
    /// examples.
    ///
    /// Returns `None` if help was requested. An error never repeats an argument's value, because it may be
    /// the secret.
    fn parse(mut args: impl Iterator<Item = OsString>, names: Names<'_>) -> Result<Option<Self>, String> {
        let mut given: Vec<(String, String)> = Vec::new();
        while let Some(arg) = args.next() {
            let arg = arg.into_string().map_err(|_| "an argument is not UTF-8")?;
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            let has_value = names.needed.contains(&name.as_str()) || names.optional.contains(&name.as_str());
            let value = match (name.as_str(), inline) {
                ("--help" | "-h", _) => return Ok(None),
                (_, Some(value)) if has_value => value,
                (_, None) if has_value => {
                    let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
                    let value =
                        value.into_string().map_err(|_| format!("the value of {name} is not UTF-8"))?;
                    // An unquoted shell variable was empty, so the next flag took its place.
                    if names.all().any(|known| known == value) {
                        return Err(format!("{name} needs a value"));
                    }
                    value
                }
                (flag, None) if names.alone.contains(&flag) => String::new(),
                _ => return Err("an argument is none of those below".to_owned()),
            };
            if !names.repeated.contains(&name.as_str()) && given.iter().any(|(known, _)| *known == name) {
                return Err(format!("{name} is given twice"));
            }
            given.push((name, value));
        }
        let flags = Self { given };
        match names.needed.iter().find(|name| flags.get(name).is_none()) {
            Some(missing) => Err(format!("{missing} is missing")),
            None => Ok(Some(flags)),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The values of a repeated flag, in their order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a required flag.
    pub(crate) fn needed(&self, name: &str) -> &str {
        self.get(name).expect("invariant: parsing demands what is needed")
    }
}
