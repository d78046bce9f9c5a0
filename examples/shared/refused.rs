//! Prints a line on the standard error for each refused request. The sender only gets a status.

use std::error::Error as _;

use hookwire::receive::Rejection;

pub(crate) fn log(rejection: &Rejection) {
    let mut line = format!("{}: {rejection}", rejection.status());
    let mut cause = rejection.source();
    while let Some(error) = cause {
        line += &format!(": {error}");
        cause = error.source();
    }
    eprintln!("{line}");
}
