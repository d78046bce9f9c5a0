//! [`ProofLayer`]: a layer that lets only proven requests pass.

use std::error::Error as StdError;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Either, Full};
use time::OffsetDateTime;
use tower_layer::Layer;
use tower_service::Service;

use super::any_body::{AnyBody, BoxError};
use super::head::Head;
use crate::receive::receiver::Receiver;
use crate::receive::rejection::Rejection;

/// A layer that lets only proven requests of a receiver pass, for a service of your own that reads the body
/// itself. It answers every other request, and the provider's challenges.
///
/// The inner service gets the whole body, and the proof as an extension of the request: a
/// [`Verified<'static>`](crate::Verified), which [`Contract::decode`](crate::Contract::decode) reads. Nothing
/// is deduplicated.
///
/// ```
/// use hookwire::receive::{Receiver, tower::ProofLayer};
/// use hookwire::{Contract, Secret};
///
/// let receiver = Receiver::signed(Contract::allison(), &Secret::generate())?;
/// let layer = ProofLayer::new(receiver);
/// // For example `axum::Router::new().route("/hooks", post(own)).layer(layer)`.
/// # let _ = layer;
/// # Ok::<(), hookwire::Error>(())
/// ```
pub struct ProofLayer<I> {
    receiver: Arc<Receiver<I>>,
}

/// The service that [`ProofLayer`] makes of another.
pub struct Proof<S, I> {
    inner: S,
    receiver: Arc<Receiver<I>>,
}

impl<I> ProofLayer<I> {
    /// Makes the layer of a receiver.
    pub fn new(receiver: impl Into<Arc<Receiver<I>>>) -> Self {
        Self { receiver: receiver.into() }
    }
}

impl<S, I> Layer<S> for ProofLayer<I> {
    type Service = Proof<S, I>;

    fn layer(&self, inner: S) -> Proof<S, I> {
        Proof { inner, receiver: Arc::clone(&self.receiver) }
    }
}

impl<S, I, B, R> Service<Request<B>> for Proof<S, I>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Future: Send> + Clone + Send + 'static,
    I: Send + Sync + 'static,
    B: Body<Error: Into<BoxError>> + Send + 'static,
    R: Body<Data = Bytes, Error: Into<Box<dyn StdError + Send + Sync>>>,
{
    type Response = Response<Either<R, Full<Bytes>>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let receiver = Arc::clone(&self.receiver);
        // The clone may not be ready, so the service that is ready takes the request.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let (head, mut body) = Head::split(request.map(AnyBody::new));
            let read = async {
                let mut admitted = receiver.admit_shared(head.arrival(), OffsetDateTime::now_utc())?;
                let bytes = body.read(receiver.body_deadline(), |bytes| admitted.accept(bytes)).await?;
                let proven = admitted.prove(&bytes, OffsetDateTime::now_utc()).await?;
                let verified = proven.verified().clone().into_owned();
                Ok::<_, Rejection>((bytes.clone(), verified))
            };
            match read.await {
                Ok((bytes, verified)) => {
                    receiver.numbers.accepted();
                    let mut request = Request::from_parts(head.into_parts(), Full::new(bytes));
                    request.extensions_mut().insert(verified);
                    Ok(inner.call(request).await?.map(Either::Left))
                }
                Err(rejection) => {
                    let answer = head.refused(body, receiver.refuse(&rejection)).await;
                    Ok(answer.into_response().map(|body| Either::Right(Full::new(body))))
                }
            }
        })
    }
}

impl<I> Clone for ProofLayer<I> {
    fn clone(&self) -> Self {
        Self { receiver: Arc::clone(&self.receiver) }
    }
}

impl<S: Clone, I> Clone for Proof<S, I> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), receiver: Arc::clone(&self.receiver) }
    }
}

impl<I> fmt::Debug for ProofLayer<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofLayer").field("receiver", &self.receiver).finish()
    }
}

impl<S, I> fmt::Debug for Proof<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("receiver", &self.receiver).finish_non_exhaustive()
    }
}
