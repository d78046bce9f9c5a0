//! Serves a receiver until the program should end.

#[path = "connections.rs"]
mod connections;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hookwire::Inbox;
use hookwire::receive::Receiver;
use http::Request;
use hyper::body::Incoming;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tower_service::Service as _;

use super::ending::ending;

/// Prints its address on the standard error, serves, and shuts down gracefully: open requests are answered
/// first. Heads have a deadline, and connections a bound; bodies have the receiver's deadline.
pub(crate) async fn serve<I>(listen: &str, app: Router, receiver: Arc<Receiver<I>>) -> io::Result<()>
where
    I: Inbox + 'static,
{
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        io::Error::new(error.kind(), format!("--listen {listen} is not possible: {error}"))
    })?;
    let stopping = ending()?;
    eprintln!("listening on http://{}/", listener.local_addr()?);
    tokio::spawn(prune(receiver));
    let answer = move |peer, mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
        let answered = app.clone().call(request);
        async move {
            match answered.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    };
    connections::serve(listener, answer, stopping).await;
    Ok(())
}

/// Deletes inbox entries that no sender repeats any more.
async fn prune<I: Inbox>(receiver: Arc<Receiver<I>>) {
    loop {
        // One batch at a time, so that no request waits long.
        match receiver.inbox().prune_handled(BATCH, OffsetDateTime::now_utc()).await {
            Ok(pruned) if pruned == u64::from(BATCH) => continue,
            Ok(_) => {}
            Err(error) => eprintln!("the inbox was not pruned: {error}"),
        }
        sleep(Duration::from_secs(3600)).await;
    }
}

const BATCH: u32 = 1000;
