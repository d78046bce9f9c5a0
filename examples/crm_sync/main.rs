//! A CRM that follows the calls: upserts contacts and logs each call once, in tables of its own.
//!
//! ```text
//! cargo run --example crm_sync --features full -- \
//!     --listen 127.0.0.1:8080 --secret "$WEBHOOK_SECRET" --db crm.db
//! ```
//!
//! The inbox is in the same SQLite file. One transaction writes an event's changes and the record that it was
//! handled, so a crash leaves both or neither, and a copy of the event changes nothing twice. Senders POST
//! the events of Allison to `/`.

#[path = "../shared/ending.rs"]
mod ending;
#[path = "../shared/flags.rs"]
mod flags;
#[path = "../shared/refused.rs"]
mod refused;
#[path = "../shared/serving.rs"]
mod serving;
mod tables;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::routing::post;
use flags::{Flags, Names};
use hookwire::Contract;
use hookwire::allison::Event;
use hookwire::receive::axum::Incoming;
use hookwire::receive::{Answer, Receiver, Rejection};
use hookwire::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use hookwire::store::sqlite::SqliteStore;
use time::OffsetDateTime;

#[tokio::main]
async fn main() -> ExitCode {
    let names = Names { needed: &["--listen", "--secret", "--db"], ..Names::default() };
    flags::main(USAGE, names, Options::parse, run).await
}

struct Options {
    listen: String,
    db: String,
    receiver: Receiver,
}

impl Options {
    fn parse(flags: &Flags) -> Result<Self, Box<dyn Error>> {
        let receiver = Receiver::signed(Contract::allison(), &flags.needed("--secret").parse()?)?;
        let [listen, db] = ["--listen", "--db"].map(|name| flags.needed(name).to_owned());
        Ok(Self { listen, db, receiver })
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let Options { listen, db, receiver } = options;
    let options = SqliteConnectOptions::new()
        .filename(db)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePool::connect_with(options).await?;
    tables::create(&pool).await?;
    let inbox = SqliteStore::builder().open_pool(pool.clone()).await?;
    let receiver = Arc::new(receiver.with_inbox(inbox).with_rejection_observer(refused::log));
    let crm = Crm { pool, receiver: Arc::clone(&receiver) };
    let app = Router::new().route("/", post(receive)).with_state(crm);
    Ok(serving::serve(&listen, app, receiver).await?)
}

#[derive(Clone)]
struct Crm {
    pool: SqlitePool,
    receiver: Arc<Receiver<SqliteStore>>,
}

impl FromRef<Crm> for Arc<Receiver<SqliteStore>> {
    fn from_ref(crm: &Crm) -> Self {
        Self::clone(&crm.receiver)
    }
}

/// Handles an event. Duplicates and forged requests are answered before.
async fn receive(
    State(crm): State<Crm>,
    Incoming { envelope, receipt, .. }: Incoming<Event, SqliteStore>,
) -> Result<Answer, Rejection> {
    let mut transaction = match tables::written(&crm.pool, &envelope).await {
        Ok(transaction) => transaction,
        Err(error) => {
            // Without the release, the sender's attempts would be refused until the lease ends.
            drop(receipt.release().await);
            return Err(Rejection::Handler(error.into()));
        }
    };
    if !receipt.commit_in(&mut transaction, OffsetDateTime::now_utc()).await? {
        // This took so long that another copy of the event is being handled. Dropping the transaction rolls
        // it back.
        return Err(Rejection::InFlight);
    }
    transaction.commit().await.map_err(|error| Rejection::Handler(error.into()))?;
    Ok(Answer::OK)
}

const USAGE: &str = "\
usage: crm_sync --listen ADDR --secret S --db FILE

  --listen ADDR  such as 127.0.0.1:8080; port 0 takes a free one and says which
  --secret S     the secret of Allison's subscription
  --db FILE      the SQLite file with contacts, calls and the inbox; made where it is missing
";
