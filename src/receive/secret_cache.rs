//! [`SecretCache`]: the answers of a [`SecretSource`], for a while.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::receive::panic::catch_panic;
use crate::receive::secret_source::SecretSource;
use crate::receive::signal::Signal;
use crate::signature::Secret;

/// The secrets of a tenant, or why they cannot be looked up.
type Lookup = Result<Vec<Secret>, Box<dyn StdError + Send + Sync>>;

/// A cache without the type of its source, so that a receiver has no type parameter for it.
pub(super) trait Secrets: Send + Sync {
    fn secrets_of<'a>(
        &'a self,
        tenant: &'a str,
        now: OffsetDateTime,
    ) -> Pin<Box<dyn Future<Output = Lookup> + Send + 'a>>;
    fn forget(&self, tenant: &str);
}

/// The answers of a [`SecretSource`]: a bounded number of them, and none beyond an age.
///
/// An unknown tenant is not cached, so that strangers who make names up take no room. Requests that arrive
/// while the source is asked about their tenant wait for that answer.
pub(super) struct SecretCache<S> {
    source: S,
    age: Duration,
    most: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tenants: HashMap<String, Cached>,
    /// The questions that the source is being asked, for no more tenants than are cached.
    questions: HashMap<String, Arc<Question>>,
    /// How often a tenant was forgotten. An answer to a question from before may be old.
    forgotten: u64,
}

struct Cached {
    asked_at: OffsetDateTime,
    secrets: Vec<Secret>,
}

/// The cache's knowledge about a tenant.
enum Found<'a, S> {
    Cached(Vec<Secret>),
    /// Another request asks the source already.
    Asked(Arc<Question>),
    /// The caller asks the source, also for the requests that arrive meanwhile.
    ToAsk {
        asking: Asking<'a, S>,
        forgotten: u64,
    },
    /// The caller asks the source for itself alone.
    Unknown {
        forgotten: u64,
    },
}

/// A question that the source is being asked about one tenant.
#[derive(Default)]
struct Question {
    answer: OnceLock<Result<Vec<Secret>, String>>,
    is_over: Signal,
}

impl Question {
    fn answer(&self, lookup: &Lookup) {
        let answer = match lookup {
            Ok(secrets) => Ok(secrets.clone()),
            Err(error) => Err(error.to_string()),
        };
        // Only one request asks it.
        let _ = self.answer.set(answer);
    }

    /// The source's answer, with the text of its error, or `None` if the request that asked was dropped.
    async fn answered(&self) -> Option<Result<Vec<Secret>, String>> {
        self.is_over.given_since(0).await;
        self.answer.get().cloned()
    }
}

/// The request that asks a question. When it is dropped, the requests that wait go on.
struct Asking<'a, S> {
    cache: &'a SecretCache<S>,
    tenant: String,
    question: Arc<Question>,
}

impl<S> Drop for Asking<'_, S> {
    fn drop(&mut self) {
        {
            let questions = &mut self.cache.known().questions;
            // After the tenant was forgotten, another request may have asked a question of its own.
            if questions.get(&self.tenant).is_some_and(|question| Arc::ptr_eq(question, &self.question)) {
                questions.remove(&self.tenant);
            }
        }
        self.question.is_over.give();
    }
}

impl<S> SecretCache<S> {
    pub(super) fn new(source: S, age: Duration, most: usize) -> Self {
        Self { source, age, most, known: Mutex::default() }
    }

    fn find(&self, tenant: &str, now: OffsetDateTime) -> Found<'_, S> {
        let mut known = self.known();
        if let Some(cached) = known.tenants.get(tenant).filter(|cached| self.is_fresh(cached, now)) {
            return Found::Cached(cached.secrets.clone());
        }
        let forgotten = known.forgotten;
        if let Some(question) = known.questions.get(tenant) {
            return Found::Asked(Arc::clone(question));
        }
        if self.age.is_zero() || known.questions.len() >= self.most {
            return Found::Unknown { forgotten };
        }
        let question = Arc::new(Question::default());
        known.questions.insert(tenant.to_owned(), Arc::clone(&question));
        Found::ToAsk { asking: Asking { cache: self, tenant: tenant.to_owned(), question }, forgotten }
    }

    async fn ask(&self, tenant: &str, now: OffsetDateTime, forgotten: u64) -> Lookup
    where
        S: SecretSource,
    {
        // The source is the application's own, so its panic fails the requests that wait for it and nothing
        // else.
        let secrets = catch_panic(async { self.source.secrets(tenant).await })
            .await
            .unwrap_or_else(|_panic| Err("source of secrets panicked".into()))?;
        self.cache(tenant, &secrets, now, forgotten);
        Ok(secrets)
    }

    fn cache(&self, tenant: &str, secrets: &[Secret], now: OffsetDateTime, forgotten: u64) {
        if self.age.is_zero() || secrets.is_empty() || self.most == 0 {
            return;
        }
        let mut known = self.known();
        if known.forgotten != forgotten {
            return;
        }
        let tenants = &mut known.tenants;
        if tenants.len() >= self.most && !tenants.contains_key(tenant) {
            tenants.retain(|_, cached| self.is_fresh(cached, now));
            let oldest = tenants.iter().min_by_key(|(_, cached)| cached.asked_at);
            let oldest = oldest.map(|(tenant, _)| tenant.clone());
            if let Some(oldest) = oldest.filter(|_| tenants.len() >= self.most) {
                tenants.remove(&oldest);
            }
        }
        tenants.insert(tenant.to_owned(), Cached { asked_at: now, secrets: secrets.to_vec() });
    }

    /// A clock that is set back makes nothing fresh again.
    fn is_fresh(&self, cached: &Cached, now: OffsetDateTime) -> bool {
        Duration::try_from(now - cached.asked_at).is_ok_and(|age| age < self.age)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: SecretSource> Secrets for SecretCache<S> {
    fn secrets_of<'a>(
        &'a self,
        tenant: &'a str,
        now: OffsetDateTime,
    ) -> Pin<Box<dyn Future<Output = Lookup> + Send + 'a>> {
        Box::pin(async move {
            loop {
                match self.find(tenant, now) {
                    Found::Cached(secrets) => return Ok(secrets),
                    Found::Unknown { forgotten } => return self.ask(tenant, now, forgotten).await,
                    Found::ToAsk { asking, forgotten } => {
                        let lookup = self.ask(tenant, now, forgotten).await;
                        asking.question.answer(&lookup);
                        return lookup;
                    }
                    // If the request that asked was dropped, another one asks.
                    Found::Asked(question) => match question.answered().await {
                        Some(answer) => return answer.map_err(Into::into),
                        None => continue,
                    },
                }
            }
        })
    }

    fn forget(&self, tenant: &str) {
        let mut known = self.known();
        known.tenants.remove(tenant);
        // Requests that ask from now on do not share the answer to an older question.
        known.questions.remove(tenant);
        known.forgotten += 1;
    }
}

impl<S> fmt::Debug for SecretCache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretCache").field("age", &self.age).finish_non_exhaustive()
    }
}
