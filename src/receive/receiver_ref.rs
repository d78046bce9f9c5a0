//! [`ReceiverRef`]: a receiver, for as long as it is borrowed or shared.

use std::ops::Deref;
use std::sync::Arc;

use crate::receive::admission::{Admission, Admits};
use crate::receive::receiver::Receiver;

/// A receiver, for as long as it is borrowed or shared.
pub(super) enum ReceiverRef<'r, I> {
    Borrowed(&'r Receiver<I>),
    Shared(Arc<Receiver<I>>),
}

impl<I> Clone for ReceiverRef<'_, I> {
    fn clone(&self) -> Self {
        match self {
            Self::Borrowed(receiver) => Self::Borrowed(receiver),
            Self::Shared(receiver) => Self::Shared(Arc::clone(receiver)),
        }
    }
}

impl<I> Deref for ReceiverRef<'_, I> {
    type Target = Receiver<I>;

    fn deref(&self) -> &Receiver<I> {
        match self {
            Self::Borrowed(receiver) => receiver,
            Self::Shared(receiver) => receiver,
        }
    }
}

impl<I> Admits for ReceiverRef<'_, I> {
    fn admission(&self) -> &Admission {
        &self.admission
    }
}
