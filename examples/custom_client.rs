//! A custom HTTP client: it sends nothing, prints each request as it would be sent, and answers 204.
//!
//! ```console
//! $ cargo run --example custom_client --features endpoint
//! ```
//!
//! Use it for dry runs or as a starting point: a client that really sends implements the same method. Its
//! rules are in the documentation of `HttpClient`.

use std::error::Error;
use std::io::{self, Write};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use hookwire::allison::CallEnded;
use hookwire::subscription::{Authentication, Options};
use hookwire::{
    Contract, EndpointUrl, Envelope, ErrorClass, Exchange, HttpClient, Limits, Secret, TransportError,
};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use time::OffsetDateTime;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let contract = Contract::allison();
    let envelope = Envelope::new(CallEnded::new("5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11"));
    let body = contract.encode(&envelope)?;

    // The dispatcher does this before it passes a request to its client: sign, then apply the subscription's
    // options.
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
            // Credentials are marked as sensitive and must not appear in a log.
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
        // This client dials nothing, but it refuses a URL that the policy forbids. A client that connects
        // also checks every address that the name resolves to, dials only those, presents `limits.identity`,
        // and ends within `limits.deadline`.
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
        Ok(Exchange::new(response).with_timings(hookwire::outcome::Timings::new(Duration::ZERO)))
    }
}
