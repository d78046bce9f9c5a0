//! [`IncomingBody`]: the body of a request, as a server hands it on.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::receive::rejection::Rejection;

/// The body of a request, as a server hands it on.
pub(in crate::receive) struct IncomingBody<B> {
    body: B,
    is_read: bool,
}

impl<B: Body<Data = Bytes> + Unpin> IncomingBody<B> {
    pub(in crate::receive) fn new(body: B) -> Self {
        Self { body, is_read: false }
    }

    /// The least length of the body in bytes, as far as it is known.
    pub(in crate::receive) fn length(&self) -> u64 {
        self.body.size_hint().lower()
    }

    /// Reads the whole body within `deadline`. `accept` accepts the bytes of each piece.
    pub(in crate::receive) async fn read(
        &mut self,
        deadline: Duration,
        accept: impl FnMut(usize) -> Result<(), Rejection>,
    ) -> Result<Bytes, Rejection> {
        let mut reading = pin!(collect(&mut self.body, accept));
        // Nearly every body arrives with its head, and a timer costs a system call: set it only if there is a
        // wait.
        let body = match at_hand(reading.as_mut()).await {
            Some(body) => body?,
            None => timeout(deadline, reading).await.map_err(|_| Rejection::Incomplete)??,
        };
        self.is_read = true;
        Ok(body)
    }

    /// Whether nothing of the body is left to read.
    pub(in crate::receive) fn is_read(&self) -> bool {
        self.is_read || self.body.is_end_stream()
    }

    /// Reads the rest of a short body and drops it, if it has arrived. Returns whether nothing is left to
    /// read.
    pub(in crate::receive) async fn drain(&mut self) -> bool {
        if self.is_read() {
            return true;
        }
        if self.body.size_hint().exact().is_none_or(|length| length > MAX_DRAINED) {
            return false;
        }
        let drained = pin!(collect(&mut self.body, |_| Ok(())));
        matches!(at_hand(drained).await, Some(Ok(_)))
    }
}

/// The output of a future that need not wait for the network.
async fn at_hand<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    let mut was_asked = false;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if was_asked => Poll::Ready(None),
        Poll::Pending => {
            // The server hands the body on when it is asked for it, so ask again right after.
            was_asked = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

async fn collect<B: Body<Data = Bytes> + Unpin>(
    body: &mut B,
    mut accept: impl FnMut(usize) -> Result<(), Rejection>,
) -> Result<Bytes, Rejection> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Rejection::Truncated)?.into_data() else { continue };
        accept(data.len())?;
        // Most bodies come in one piece, which is taken as it is.
        if first.is_empty() && whole.is_empty() {
            first = data;
        } else {
            if whole.is_empty() {
                whole.extend_from_slice(&std::mem::take(&mut first));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// The length up to which a body is read although its request is refused, in bytes: reading it costs less
/// than a new connection.
const MAX_DRAINED: u64 = 16 << 10;
