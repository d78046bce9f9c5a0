//! [`Names`]: tells a name that does not resolve from a resolution of names that does not work.
#![cfg(feature = "hyper")]

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::outcome::ErrorClass;

/// What the look-ups of a client say together.
///
/// One name without an answer says nothing: its own servers may be down, which is the endpoint's fault. Several names in a row
/// without any answer in between say that it is this side that has no resolver.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Different names that got no answer since the last one that did; no more than it takes.
    unanswered: Mutex<Vec<String>>,
}

impl Names {
    /// A name was resolved.
    pub(crate) fn resolved(&self) {
        let mut unanswered = self.unanswered();
        if !unanswered.is_empty() {
            unanswered.clear();
        }
    }

    /// A name was not: whose fault that is.
    pub(crate) fn failed(&self, host: &str, error: &io::Error) -> ErrorClass {
        if error.kind() == io::ErrorKind::NotFound {
            // That it does not exist is an answer.
            self.resolved();
            return ErrorClass::Dns;
        }
        let mut unanswered = self.unanswered();
        if unanswered.len() < OUTAGE && !unanswered.iter().any(|known| known == host) {
            unanswered.push(host.to_owned());
        }
        if unanswered.len() < OUTAGE { ErrorClass::Dns } else { ErrorClass::Internal }
    }

    fn unanswered(&self) -> MutexGuard<'_, Vec<String>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many names without an answer are no accident.
const OUTAGE: usize = 3;
