//! [`Shelf`]: the treatment of events whose data does not fit their type.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::event::DataError;

/// The treatment of events whose data does not fit their type, if the handler passes the error on.
#[derive(Clone, Default)]
pub(super) enum Shelf {
    /// They count as handled.
    #[default]
    Silent,
    /// They count as handled, and the application keeps them.
    Observed(Arc<dyn Fn(&DataError) + Send + Sync>),
    /// The sender is asked to repeat them.
    Repeated,
}

impl Shelf {
    /// Shelves the event if `error` says that its data does not fit, and returns whether it did.
    pub(super) fn takes(&self, error: &(dyn Error + 'static)) -> bool {
        let Some(error) = unfit(error) else { return false };
        match self {
            Self::Silent => true,
            Self::Observed(observer) => {
                // The observer is the application's own, so its panic ends this call and nothing else.
                drop(catch_unwind(AssertUnwindSafe(|| observer(error))));
                true
            }
            Self::Repeated => false,
        }
    }
}

/// The error of data that does not fit its type, if it is `error` or one of its causes.
pub(super) fn unfit<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e DataError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<DataError>() {
            return Some(found);
        }
        // `?` boxes the box that the handler got.
        if let Some(found) = error.downcast_ref::<Box<DataError>>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}
