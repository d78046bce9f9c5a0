//! [`read_body`]: reads a response's body up to a cap.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;

/// Reads up to `cap` bytes. The flag is true when there were more; the caller then drops the connection with
/// the body.
pub(in crate::transport) async fn read_body<B>(mut body: B, cap: usize) -> Result<(Bytes, bool), B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = cap - read.len();
        if data.len() > room {
            read.extend_from_slice(&data[..room]);
            return Ok((read.freeze(), true));
        }
        read.extend_from_slice(&data);
    }
    Ok((read.freeze(), false))
}
