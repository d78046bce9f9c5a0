//! An HTTP client of one's own: it sends nothing, prints each request as it would go out, and answers 204.
//!
//! ```console
//! $ cargo run --example custom_client
//! ```
//!
//! For dry runs, and a place to begin: a client that really sends has the same one method. What it must keep to stands at
//! `HttpClient`.

use std::error::Error;
use std::io::{self, Write};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use hookwire::allison::CallEnded;
use hookwire::{
    Authentication, Contract, EndpointUrl, Envelope, ErrorClass, Exchange, HttpClient, Limits, Options,
    Secret, TransportError,
};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let contract = Contract::allison();
    let envelope = Envelope::new(CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11"));
    let body = contract.encode(&envelope)?;

    // What the dispatcher does before it hands a request to its client: sign, then add what the subscription asks for.
    let mut headers =
        contract.signer(&Secret::generate())?.sign(envelope.id.as_str(), OffsetDateTime::now_utc(), &body)?;
    Options::new()
        .with_authentication(Authentication::bearer("not-for-your-eyes".parse()?)?)?
        .with_header("x-tenant", "acme")?
        .apply(&mut headers, None)?;

    let client = PrintingClient::new(io::stdout());
    let limits = Limits::new(contract.timeout());
    for url in ["https://hooks.example.com/calls", "https://192.168.0.1/calls"] {
        match client.send(request(url, headers.clone(), body.clone())?, &limits).await {
            Ok(exchange) => println!("-> {}\n", exchange.response.status()),
            Err(error) => println!("-> {}: {error}\n", error.class()),
        }
    }
    Ok(())
}

fn request(url: &str, headers: HeaderMap, body: Bytes) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::post(url).header(CONTENT_TYPE, "application/json").body(body)?;
    request.headers_mut().extend(headers);
    Ok(request)
}

/// Writes requests instead of sending them.
struct PrintingClient<W> {
    out: Mutex<W>,
}

impl<W: Write + Send> PrintingClient<W> {
    fn new(out: W) -> Self {
        Self { out: Mutex::new(out) }
    }

    fn print(&self, request: &Request<Bytes>) -> io::Result<()> {
        let mut out = self.out.lock().map_err(|_| io::Error::other("another request panicked"))?;
        writeln!(out, "{} {}", request.method(), request.uri())?;
        for (name, value) in request.headers() {
            // Credentials are marked, and a log is no place for them.
            let value = if value.is_sensitive() {
                "(hidden)".into()
            } else {
                String::from_utf8_lossy(value.as_bytes())
            };
            writeln!(out, "{name}: {value}")?;
        }
        writeln!(out, "\n{}", String::from_utf8_lossy(request.body()))
    }
}

impl<W: Write + Send> HttpClient for PrintingClient<W> {
    async fn send(&self, request: Request<Bytes>, limits: &Limits) -> Result<Exchange, TransportError> {
        // Nothing is dialled here, but a URL that may not be reached is refused as it would be. A client that connects
        // checks every address that the name resolves to as well, and dials just those; and it ends within `limits.deadline`.
        EndpointUrl::parse(&request.uri().to_string(), &limits.addresses).map_err(|error| {
            TransportError::new(ErrorClass::AddressDenied, "URL may not be reached")
                .with_source(error)
                .with_maybe_sent(false)
        })?;
        self.print(&request).map_err(|error| {
            TransportError::new(ErrorClass::Internal, "request could not be printed").with_source(error)
        })?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(Exchange::new(response).with_timings(hookwire::Timings::new(Duration::ZERO)))
    }
}
