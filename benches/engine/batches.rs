//! (f) Emitting from one task: 100 events in one call, against 100 calls, and against a batch of 100 rows
//! that is inserted by hand. Nothing is sent meanwhile.

use std::sync::Arc;
use std::time::Instant;

use hookwire::dispatch::Outbox;
use hookwire::store::postgres::PostgresStore;
use hookwire::store::sqlite::SqliteStore;
use hookwire::{Contract, MemoryStore};

use crate::Settings;
use crate::bare::{BareMemory, BarePostgres, BareSqlite, Queue, Row};
use crate::event::{body, envelope};
use crate::ours::{Opens, subscription};
use crate::place::{Kind, Place};
use crate::postgres::Server;
use crate::table::{self, Bound};

pub(crate) async fn run(settings: &Settings, server: Option<&Server>) {
    for kind in settings.kinds() {
        table::heading(&format!("(f) emit_all of 100, {}, events/s", kind.name()), "emit_all", "other");
        let bare = Place::new(kind, server).await;
        match (kind, &bare) {
            (Kind::Memory, _) => {
                measure::<Arc<MemoryStore>, _>(settings, server, BareMemory::default()).await
            }
            (_, Place::Sqlite { file, .. }) => {
                measure::<SqliteStore, _>(settings, server, BareSqlite::open(file)).await;
            }
            (_, Place::Postgres { url, .. }) => {
                measure::<PostgresStore, _>(settings, server, BarePostgres::open(url, 1).await).await;
            }
            (_, Place::Memory) => unreachable!("a place is of its kind"),
        }
        bare.clean_up().await;
    }
}

async fn measure<S: Opens, Q: Queue>(settings: &Settings, server: Option<&Server>, bare: Q) {
    let place = Place::new(S::KIND, server).await;
    let store = S::open(&place).await;
    let address = "127.0.0.1:9".parse().expect("the address is one");
    store.put(&subscription("org_0", address, 0)).await.expect("the store takes it");
    let outbox = Outbox::new(store, Contract::allison());
    let [mut together, mut single, mut by_hand] = [const { Vec::new() }; 3];
    let mut next = 0;
    for _ in 0..settings.scale(2, 9) {
        let batches = settings.scale(2, 20);
        let began = Instant::now();
        for _ in 0..batches {
            let envelopes: Vec<_> = (next..next + BATCH).map(envelope).collect();
            outbox.emit_all("org_0", &envelopes).await.expect("the store takes them");
            next += BATCH;
        }
        together.push(speed(batches * BATCH, began));
        let began = Instant::now();
        for _ in 0..BATCH {
            outbox.emit("org_0", &envelope(next)).await.expect("the store takes it");
            next += 1;
        }
        single.push(speed(BATCH, began));
        let began = Instant::now();
        for _ in 0..batches {
            let rows = (next..next + BATCH).map(|number| Row::new(number, body(number))).collect();
            bare.insert(rows).await;
            next += BATCH;
        }
        by_hand.push(speed(batches * BATCH, began));
    }
    table::rounds("against single emits from one task", &together, &single, Bound::AtLeast(3.0));
    table::rounds("against a batch of 100 rows by hand", &together, &by_hand, Bound::AtLeast(0.5));
    drop(outbox);
    place.clean_up().await;
}

fn speed(events: u64, began: Instant) -> f64 {
    events as f64 / began.elapsed().as_secs_f64()
}

const BATCH: u64 = 100;
