//! [`AnyBody`]: a request's body without its type.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// A request's body without its type.
pub(super) struct AnyBody {
    body: UnsyncBoxBody<Bytes, BoxError>,
    /// The length that the whole body announced, which a mapped body forgets.
    length: SizeHint,
}

impl AnyBody {
    pub(super) fn new<B>(body: B) -> Self
    where
        B: Body<Error: Into<BoxError>> + Send + 'static,
    {
        let length = body.size_hint();
        let in_bytes =
            body.map_frame(|frame| frame.map_data(|mut data| data.copy_to_bytes(data.remaining())));
        Self { body: in_bytes.map_err(Into::into).boxed_unsync(), length }
    }
}

impl Body for AnyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.length = SizeHint::new();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.length
    }
}
