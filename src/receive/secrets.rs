//! [`SecretSource`]: whose secrets prove a request, looked up by tenant, and not for every request.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::receive::answer::unpanicking;
use crate::receive::bell::Bell;
use crate::signature::Secret;

/// Where the secrets of many tenants are, such as a table of the application's.
///
/// A tenant has one name, compared byte for byte: where `Acme` and `acme` had the same secrets, a captured request could be sent again
/// under the other name and would be no duplicate.
///
/// ```
/// use std::error::Error;
/// use hookwire::Secret;
/// use hookwire::receive::SecretSource;
///
/// struct OneTenant(Secret);
///
/// impl SecretSource for OneTenant {
///     async fn secrets(&self, tenant: &str) -> Result<Vec<Secret>, Box<dyn Error + Send + Sync>> {
///         Ok(if tenant == "acme" { vec![self.0.clone()] } else { Vec::new() })
///     }
/// }
/// ```
pub trait SecretSource: Send + Sync {
    /// The secrets of `tenant`, any of which may have signed; none for a tenant that is not known.
    ///
    /// One that has not the form that the contract demands proves nothing, and the others count: a row that was pasted wrong does not
    /// lock out a tenant who has a good one. Where none has the form, the sender is asked to repeat the request, as it is where this
    /// fails or panics.
    ///
    /// # Errors
    ///
    /// When it cannot be asked. The sender is then asked to repeat the request.
    fn secrets(
        &self,
        tenant: &str,
    ) -> impl Future<Output = Result<Vec<Secret>, Box<dyn StdError + Send + Sync>>> + Send;
}

#[deny(clippy::missing_trait_methods)]
impl<S: SecretSource + ?Sized> SecretSource for Arc<S> {
    fn secrets(
        &self,
        tenant: &str,
    ) -> impl Future<Output = Result<Vec<Secret>, Box<dyn StdError + Send + Sync>>> + Send {
        S::secrets(self, tenant)
    }
}

type Told = Result<Vec<Secret>, Box<dyn StdError + Send + Sync>>;
type Answer<'a> = Pin<Box<dyn Future<Output = Told> + Send + 'a>>;

/// [`SecretSource`] behind a pointer, so that a receiver does not grow a parameter.
pub(super) trait ErasedSecrets: Send + Sync {
    fn secrets_dyn<'a>(&'a self, tenant: &'a str, now: OffsetDateTime) -> Answer<'a>;
    fn forget_dyn(&self, tenant: &str);
}

/// Answers of a [`SecretSource`], kept for a while: a bounded number of them, and no longer than an age.
///
/// A tenant that is not known is not kept, so that strangers who make names up take no room. While the source is asked about a tenant,
/// whoever else wants to know waits for that answer.
pub(super) struct CachedSecrets<S> {
    source: S,
    age: Duration,
    most: usize,
    kept: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tenants: HashMap<String, Kept>,
    /// What the source is being asked, of no more tenants than are kept.
    questions: HashMap<String, Arc<Question>>,
    /// How often something was forgotten: an answer that was asked for before that may be old.
    forgotten: u64,
}

/// What there is to know of a tenant.
enum Found<'a, S> {
    Kept(Vec<Secret>),
    /// Somebody is asking.
    Asked(Arc<Question>),
    /// To be asked, also for those who come meanwhile.
    ToAsk {
        asking: Asking<'a, S>,
        forgotten: u64,
    },
    /// To be asked for oneself alone.
    Nothing {
        forgotten: u64,
    },
}

/// What the source is being asked about one tenant.
#[derive(Default)]
struct Question {
    answer: OnceLock<Result<Vec<Secret>, String>>,
    is_over: Bell,
}

impl Question {
    fn answer(&self, told: &Told) {
        let answer = match told {
            Ok(secrets) => Ok(secrets.clone()),
            Err(error) => Err(error.to_string()),
        };
        // It is asked once.
        let _ = self.answer.set(answer);
    }

    /// What the source answered, with the text of what went wrong; nothing where it was not waited for.
    async fn answered(&self) -> Option<Result<Vec<Secret>, String>> {
        self.is_over.rung_since(0).await;
        self.answer.get().cloned()
    }
}

/// The one who asks; dropped, it has those who wait go on.
struct Asking<'a, S> {
    cache: &'a CachedSecrets<S>,
    tenant: String,
    question: Arc<Question>,
}

impl<S> Drop for Asking<'_, S> {
    fn drop(&mut self) {
        {
            let questions = &mut self.cache.known().questions;
            // Another may have been asked since it was forgotten.
            if questions.get(&self.tenant).is_some_and(|question| Arc::ptr_eq(question, &self.question)) {
                questions.remove(&self.tenant);
            }
        }
        self.question.is_over.ring();
    }
}

struct Kept {
    asked_at: OffsetDateTime,
    secrets: Vec<Secret>,
}

impl<S> CachedSecrets<S> {
    pub(super) fn new(source: S, age: Duration, most: usize) -> Self {
        Self { source, age, most, kept: Mutex::default() }
    }

    fn find(&self, tenant: &str, now: OffsetDateTime) -> Found<'_, S> {
        let mut known = self.known();
        if let Some(kept) = known.tenants.get(tenant).filter(|kept| self.is_fresh(kept, now)) {
            return Found::Kept(kept.secrets.clone());
        }
        let forgotten = known.forgotten;
        if let Some(question) = known.questions.get(tenant) {
            return Found::Asked(Arc::clone(question));
        }
        if self.age.is_zero() || known.questions.len() >= self.most {
            return Found::Nothing { forgotten };
        }
        let question = Arc::new(Question::default());
        known.questions.insert(tenant.to_owned(), Arc::clone(&question));
        Found::ToAsk { asking: Asking { cache: self, tenant: tenant.to_owned(), question }, forgotten }
    }

    async fn ask(&self, tenant: &str, now: OffsetDateTime, forgotten: u64) -> Told
    where
        S: SecretSource,
    {
        // The source is the application's own: its panic fails those who wait for it and nothing else.
        let secrets = unpanicking(async { self.source.secrets(tenant).await })
            .await
            .unwrap_or_else(|_panic| Err("source of secrets panicked".into()))?;
        self.keep(tenant, &secrets, now, forgotten);
        Ok(secrets)
    }

    fn keep(&self, tenant: &str, secrets: &[Secret], now: OffsetDateTime, forgotten: u64) {
        if self.age.is_zero() || secrets.is_empty() || self.most == 0 {
            return;
        }
        let mut known = self.known();
        if known.forgotten != forgotten {
            return;
        }
        let kept = &mut known.tenants;
        if kept.len() >= self.most && !kept.contains_key(tenant) {
            kept.retain(|_, kept| self.is_fresh(kept, now));
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.asked_at).map(|(tenant, _)| tenant.clone());
            if let Some(oldest) = oldest.filter(|_| kept.len() >= self.most) {
                kept.remove(&oldest);
            }
        }
        kept.insert(tenant.to_owned(), Kept { asked_at: now, secrets: secrets.to_vec() });
    }

    /// A clock that jumps back makes nothing fresh again.
    fn is_fresh(&self, kept: &Kept, now: OffsetDateTime) -> bool {
        Duration::try_from(now - kept.asked_at).is_ok_and(|age| age < self.age)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: SecretSource> ErasedSecrets for CachedSecrets<S> {
    fn secrets_dyn<'a>(&'a self, tenant: &'a str, now: OffsetDateTime) -> Answer<'a> {
        Box::pin(async move {
            loop {
                match self.find(tenant, now) {
                    Found::Kept(secrets) => return Ok(secrets),
                    Found::Nothing { forgotten } => return self.ask(tenant, now, forgotten).await,
                    Found::ToAsk { asking, forgotten } => {
                        let told = self.ask(tenant, now, forgotten).await;
                        asking.question.answer(&told);
                        return told;
                    }
                    // Nothing where the one who asked was dropped: another asks then.
                    Found::Asked(question) => match question.answered().await {
                        Some(answer) => return answer.map_err(Into::into),
                        None => continue,
                    },
                }
            }
        })
    }

    fn forget_dyn(&self, tenant: &str) {
        let mut known = self.known();
        known.tenants.remove(tenant);
        // Who asks from now on does not get what was asked for before.
        known.questions.remove(tenant);
        known.forgotten += 1;
    }
}

impl<S> fmt::Debug for CachedSecrets<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedSecrets").field("age", &self.age).finish_non_exhaustive()
    }
}
