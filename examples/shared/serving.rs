//! Serves a receiver until the program is told to end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hookwire::Inbox;
use hookwire::receive::Receiver;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::ending::ending;

/// Says on the standard error where it listens, serves, and ends in order: what has arrived is answered first.
pub(crate) async fn serve<I>(listen: &str, app: Router, receiver: Arc<Receiver<I>>) -> io::Result<()>
where
    I: Inbox + 'static,
{
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        io::Error::new(error.kind(), format!("--listen {listen} is not possible: {error}"))
    })?;
    let (stopping, late) = (ending()?, ending()?);
    eprintln!("listening on http://{}/", listener.local_addr()?);
    tokio::spawn(prune(receiver));
    let too_late = async {
        late.await;
        sleep(GRACE).await;
    };
    tokio::select! {
        served = async { axum::serve(listener, app).with_graceful_shutdown(stopping).await } => served,
        // Somebody has connected and says nothing.
        () = too_late => Ok(()),
    }
}

/// Forgets what no sender repeats any more.
async fn prune<I: Inbox>(receiver: Arc<Receiver<I>>) {
    loop {
        // A batch at a time, so that no request waits long for its turn.
        match receiver.inbox().prune(OffsetDateTime::now_utc(), BATCH).await {
            Ok(pruned) if pruned == u64::from(BATCH) => continue,
            Ok(_) => {}
            Err(error) => eprintln!("the inbox was not pruned: {error}"),
        }
        sleep(Duration::from_secs(3600)).await;
    }
}

/// Longer than a receiver waits for a body.
const GRACE: Duration = Duration::from_secs(15);
const BATCH: u32 = 1000;
