//! Answers and rejections as responses of axum.

use ::axum::body::Body;
use ::axum::response::{IntoResponse, Response};

use crate::receive::answer::Answer;
use crate::receive::rejection::Rejection;

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        self.into_response().map(Body::from)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        IntoResponse::into_response(Answer::from(&self))
    }
}
