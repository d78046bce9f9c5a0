//! The PostgreSQL store and inbox: the rules of every store, and what is PostgreSQL's own.
#![cfg(all(feature = "postgres", feature = "testing"))]
#![allow(clippy::unwrap_used, reason = "tests state their expectations by unwrapping, in their helpers too")]

use std::sync::Arc;

use hookwire::store::postgres::PostgresStore;

use crate::postgres_server::{self, prefix};

mod store {
    hookwire::store_conformance! {
        #[tokio::test]
        async { super::fresh().await }
    }
}

mod shared_store {
    hookwire::store_conformance! {
        #[tokio::test]
        async { super::fresh_shared().await }
    }
}

mod inbox {
    hookwire::inbox_conformance! {
        #[tokio::test]
        async { super::fresh().await }
    }
}

mod shared_inbox {
    hookwire::inbox_conformance! {
        #[tokio::test]
        async { super::fresh_shared().await }
    }
}

/// A store that goes by the tests' time.
async fn fresh() -> (PostgresStore, ()) {
    let builder = PostgresStore::builder().with_prefix(prefix()).with_connections(4).with_caller_time();
    (builder.connect(postgres_server::url()).await.expect("store opens"), ())
}

async fn fresh_shared() -> (Arc<PostgresStore>, ()) {
    let (store, ()) = fresh().await;
    (Arc::new(store), ())
}
