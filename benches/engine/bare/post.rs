//! Signing and sending by hand: a keyed hash that is cloned, and hyper connections that are reused.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Instant;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use time::OffsetDateTime;
use tokio::net::TcpStream;

use super::{Done, Row};
use crate::ours::KEY;
use crate::receiver::ID_HEADER;

pub(super) struct Endpoint {
    address: SocketAddr,
    path: String,
    authority: String,
    keyed: Hmac<Sha256>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr, offset: u64) -> Self {
        Self {
            address,
            path: format!("/{offset}"),
            authority: address.to_string(),
            keyed: Hmac::new_from_slice(&KEY).expect("HMAC takes any key"),
            idle: Mutex::default(),
        }
    }

    pub(super) async fn post(&self, row: Row) -> Done {
        let now = OffsetDateTime::now_utc();
        let began = Instant::now();
        let request = self.request(&row, now.unix_timestamp());
        let idle = self.idle.lock().expect("nobody panics with the list").pop();
        let mut connection = match idle {
            Some(connection) if !connection.is_closed() => connection,
            _ => self.connect().await,
        };
        connection.ready().await.expect("the connection is kept");
        let response = connection.send_request(request).await.expect("the endpoint answers");
        let status = response.status().as_u16();
        drop(response.into_body().collect().await);
        self.idle.lock().expect("nobody panics with the list").push(connection);
        Done {
            id: row.id,
            started_at: (now.unix_timestamp_nanos() / 1_000) as i64,
            duration: began.elapsed().as_micros() as i64,
            status,
        }
    }

    fn request(&self, row: &Row, timestamp: i64) -> Request<Full<Bytes>> {
        let timestamp = timestamp.to_string();
        let mut hash = self.keyed.clone();
        hash.update(timestamp.as_bytes());
        hash.update(b".");
        hash.update(&row.body);
        Request::post(&*self.path)
            .header(header::HOST, &self.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(ID_HEADER, format!("evt_{:032x}", row.event))
            .header("x-allison-timestamp", timestamp)
            .header("x-allison-signature", format!("v1={}", hex::encode(hash.finalize().into_bytes())))
            .body(Full::new(row.body.clone()))
            .expect("the request is a good one")
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.expect("the endpoint listens");
        stream.set_nodelay(true).expect("the socket is one of TCP");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("the endpoint speaks HTTP");
        tokio::spawn(connection);
        sender
    }
}
