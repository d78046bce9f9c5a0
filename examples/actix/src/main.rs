//! Receives the events of Allison in actix-web.
//!
//! ```text
//! WEBHOOK_SECRET=whsec_... cargo run --manifest-path examples/actix/Cargo.toml -- 127.0.0.1:8080
//! ```
//!
//! actix-web has types of its own and no services of tower, so it calls the plain functions: `admit` with the
//! head, `prove` with the body, `handle_each` with the handler. It prints each event once.

use std::error::Error;
use std::io;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::rt::time::timeout;
use actix_web::web::{self, BytesMut, Data, Payload};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt};
use futures_util::StreamExt as _;
use hookwire::receive::{Admitted, Answer, Arrival, Receiver, Rejection};
use hookwire::{Contract, DataError, Envelope, MemoryStore, allison};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use time::OffsetDateTime;

type Endpoint = Receiver<MemoryStore>;

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listen = std::env::args().nth(1).ok_or("expected an address such as 127.0.0.1:8080")?;
    let secret = std::env::var("WEBHOOK_SECRET").map_err(|_| "expected the secret in WEBHOOK_SECRET")?;
    let receiver = Receiver::signed(Contract::allison(), &secret.parse()?)?
        .with_inbox(MemoryStore::new())
        .with_rejection_observer(|rejection| eprintln!("{}: {rejection}", rejection.status()));
    let (server, address) = serve(&listen, receiver)?;
    eprintln!("listening on http://{address}/");
    Ok(server.await?)
}

fn serve(listen: &str, receiver: Endpoint) -> io::Result<(Server, std::net::SocketAddr)> {
    let receiver = Data::new(receiver);
    let server = HttpServer::new(move || {
        App::new().app_data(Data::clone(&receiver)).default_service(web::to(receive))
    })
    // Deadlines and bounds, so that strangers who send half a head keep nobody out.
    .client_request_timeout(Duration::from_secs(10))
    .max_connections(512)
    .workers(2)
    .bind(listen)?;
    let address = server.addrs()[0];
    Ok((server.run(), address))
}

/// Answers a request in a task of its own, so that a handler runs to its end even if the sender hangs up.
async fn receive(request: HttpRequest, body: Payload, receiver: Data<Endpoint>) -> HttpResponse {
    let answered = rt::spawn(async move { respond(&receiver, &request, body).await });
    answered.await.unwrap_or_else(|_panic| HttpResponse::ServiceUnavailable().finish())
}

async fn respond(receiver: &Endpoint, request: &HttpRequest, body: Payload) -> HttpResponse {
    let (method, headers) = head(request);
    let answered = async {
        let mut arrival = Arrival::new(&method, &headers).with_path(request.path());
        arrival.query = Some(request.query_string()).filter(|query| !query.is_empty());
        arrival.peer = request.peer_addr().map(|peer| peer.ip());
        // If the head is refused, the body is not read.
        let mut admitted = receiver.admit(arrival, OffsetDateTime::now_utc())?;
        let read = timeout(receiver.body_deadline(), read(&mut admitted, body)).await;
        let body = read.unwrap_or(Err(Rejection::Incomplete))?;
        admitted.prove(&body, OffsetDateTime::now_utc()).await?.handle_each(handle).await
    };
    match answered.await {
        Ok(answer) => response(answer, false),
        // A part of the body may be left, so no other request may follow it on the connection.
        Err(rejection) => response(receiver.refuse(&rejection), true),
    }
}

async fn handle(
    event: Result<Envelope<allison::Event>, Box<DataError>>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let envelope = event?;
    println!("{} {}", envelope.id, envelope.event_type());
    Ok(())
}

/// Reads the body, unless it is too long.
async fn read(
    admitted: &mut Admitted<'_, '_, MemoryStore>,
    mut body: Payload,
) -> Result<BytesMut, Rejection> {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|_| Rejection::Truncated)?;
        admitted.accept(piece.len())?;
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// The method and the headers in the types of crate `http` 1, which actix-web 4 does not use yet.
fn head(request: &HttpRequest) -> (Method, HeaderMap) {
    let method = Method::from_bytes(request.method().as_str().as_bytes()).unwrap_or(Method::TRACE);
    let header = |(name, value): (&actix_web::http::header::HeaderName, &[u8])| {
        let name = HeaderName::from_bytes(name.as_ref()).ok()?;
        Some((name, HeaderValue::from_bytes(value).ok()?))
    };
    let headers = request.headers().iter().map(|(name, value)| (name, value.as_bytes()));
    let mut all = HeaderMap::new();
    for (name, value) in headers.filter_map(header) {
        all.append(name, value);
    }
    (method, all)
}

fn response(answer: Answer, ends_connection: bool) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status.as_u16()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = HttpResponse::build(status);
    for (name, value) in &answer.headers {
        response.append_header((name.as_str(), value.as_bytes()));
    }
    if ends_connection {
        response.force_close();
    }
    response.body(answer.body)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};

    use hookwire::{Contract, Envelope, MemoryStore, Secret, allison, receive::Receiver};
    use time::OffsetDateTime;

    #[actix_web::test]
    async fn an_event_is_taken_a_forged_one_is_not_and_its_connection_ends() {
        let (contract, secret) = (Contract::allison(), Secret::generate());
        let receiver = Receiver::signed(contract.clone(), &secret).unwrap().with_inbox(MemoryStore::new());
        let (server, address) = super::serve("127.0.0.1:0", receiver).unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let sent = Envelope::new(allison::CallEnded::new("c1"));
        let body = contract.encode(&sent).unwrap();
        let now = OffsetDateTime::now_utc();
        let mut head = "POST /hooks HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".to_owned();
        for (name, value) in &contract.signer(&secret).unwrap().sign(sent.id.as_str(), now, &body).unwrap() {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        let wire = format!("{head}content-length: {}\r\n\r\n{}", body.len(), String::from_utf8_lossy(&body));
        for _ in 0..2 {
            assert!(send(address, wire.clone()).await.starts_with("HTTP/1.1 200"));
        }
        let forged = send(address, wire.replace("call.ended", "call.Ended")).await;
        assert!(forged.starts_with("HTTP/1.1 401") && forged.contains("connection: close"), "{forged}");
        let get = send(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()).await;
        assert!(get.starts_with("HTTP/1.1 405") && get.contains("allow: POST"), "{get}");
        handle.stop(false).await;
    }

    async fn send(address: SocketAddr, request: String) -> String {
        let sent = actix_web::rt::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = vec![0; 4_096];
            let len = stream.read(&mut answer).unwrap();
            String::from_utf8_lossy(&answer[..len]).into_owned()
        });
        sent.await.unwrap()
    }
}
