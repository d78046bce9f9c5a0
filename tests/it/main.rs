//! All tests, one module per subject.
#![allow(clippy::unwrap_used, reason = "tests state their expectations by unwrapping, helpers too")]

#[cfg(feature = "endpoint")]
mod address;
#[cfg(all(feature = "dispatch", feature = "memory", feature = "reqwest", feature = "sqlite"))]
mod attempt_log;
#[cfg(all(feature = "dispatch", feature = "memory"))]
mod bounds;
#[cfg(all(feature = "dispatch", feature = "memory", feature = "reqwest", feature = "sqlite"))]
mod client_addresses;
#[cfg(all(feature = "dispatch", feature = "memory", feature = "reqwest", feature = "sqlite"))]
mod client_http2;
#[cfg(feature = "hyper")]
mod client_peers;
#[cfg(feature = "hyper")]
mod client_rules;
mod contract;
#[cfg(all(feature = "dispatch", feature = "memory", feature = "testing"))]
mod contracts;
#[cfg(feature = "endpoint")]
mod delivery;
#[cfg(all(feature = "dispatch", feature = "postgres", feature = "testing"))]
mod deployments;
#[cfg(all(feature = "dispatch", feature = "memory", feature = "reqwest"))]
mod descriptors;
#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
mod dispatcher;
#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
mod dispatcher_faults;
#[cfg(all(feature = "dispatch", feature = "memory", feature = "testing"))]
mod dispatcher_time;
#[cfg(all(
    feature = "dispatch",
    feature = "postgres",
    any(feature = "testing", all(feature = "hyper", feature = "sqlite"))
))]
#[cfg_attr(
    not(all(feature = "hyper", feature = "sqlite", feature = "testing")),
    allow(dead_code, reason = "its functions are those of all the tests together")
)]
mod door;
#[cfg(all(feature = "dispatch", feature = "postgres", feature = "testing"))]
mod driver_log;
#[cfg(feature = "ed25519")]
mod ed25519;
#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
mod endpoint;
#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
mod engine;
mod envelope;
mod events;
mod examples;
#[cfg(all(feature = "dispatch", feature = "memory", feature = "testing"))]
mod fairness;
#[cfg(all(feature = "dispatch", feature = "hyper", feature = "postgres", feature = "sqlite"))]
mod faults;
mod guide;
#[cfg(all(feature = "axum", feature = "memory"))]
mod hostile;
mod house_rules;
#[cfg(feature = "hyper")]
mod hyper_client;
#[cfg(all(feature = "dispatch", feature = "memory", feature = "testing"))]
mod keeping;
#[cfg(all(feature = "endpoint", feature = "keyring"))]
mod keyring;
#[cfg(all(
    feature = "dispatch",
    feature = "hyper",
    feature = "metrics",
    feature = "sqlite",
    feature = "tracing"
))]
mod log_lines;
#[cfg(all(
    feature = "keyring",
    feature = "manage",
    feature = "memory",
    feature = "postgres",
    feature = "sqlite",
    feature = "testing"
))]
mod manage;
#[cfg(all(
    feature = "axum",
    feature = "hyper",
    feature = "keyring",
    feature = "manage",
    feature = "memory",
    feature = "openapi",
    feature = "testing"
))]
mod management;
#[cfg(all(
    feature = "dispatch",
    feature = "keyring",
    feature = "manage",
    feature = "memory",
    feature = "reqwest",
    feature = "sqlite"
))]
mod mutual_tls;
#[cfg(feature = "reqwest")]
mod names;
#[cfg(all(feature = "postgres", feature = "testing"))]
#[cfg(all(feature = "dispatch", feature = "memory", feature = "testing"))]
mod outbox;
#[cfg(all(feature = "dispatch", feature = "hyper", feature = "memory", feature = "sqlite"))]
mod own_faults;
#[cfg(all(feature = "endpoint", feature = "memory", feature = "sqlite"))]
mod paging;
#[cfg(all(feature = "dispatch", feature = "postgres", feature = "testing"))]
mod pgbouncer;
#[cfg(all(feature = "dispatch", feature = "postgres", feature = "testing"))]
mod postgres_order;
#[cfg(all(
    feature = "postgres",
    any(all(feature = "dispatch", feature = "testing"), all(feature = "memory", feature = "sqlite"))
))]
mod postgres_server;
#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite", unix))]
mod process;
mod providers;
#[cfg(all(feature = "dispatch", feature = "memory", feature = "reqwest", feature = "sqlite"))]
mod proxies;
#[cfg(all(
    feature = "axum",
    feature = "dispatch",
    feature = "hyper",
    feature = "memory",
    feature = "testing"
))]
mod receive_axum;
#[cfg(all(feature = "axum", feature = "memory", feature = "testing"))]
mod receive_tower;
#[cfg_attr(
    not(all(feature = "dispatch", feature = "postgres", feature = "sqlite", feature = "testing")),
    allow(dead_code, reason = "its helpers serve all the tests together")
)]
mod received;
mod receiver;
#[cfg(all(feature = "memory", feature = "postgres", feature = "sqlite"))]
mod receiving;
#[cfg(feature = "reqwest")]
mod reqwest_client;
mod retry;
mod retry_settings;
#[cfg(feature = "memory")]
mod round_trips;
mod secrets;
#[cfg(all(feature = "memory", feature = "testing"))]
mod senders;
mod signature;
#[cfg(all(feature = "dispatch", feature = "memory", feature = "testing"))]
mod simulation;
#[cfg(all(feature = "memory", feature = "testing"))]
mod store_memory;
#[cfg(all(any(all(feature = "dispatch", feature = "postgres"), feature = "sqlite"), feature = "testing"))]
mod store_parts;
#[cfg(all(feature = "dispatch", feature = "postgres", feature = "testing"))]
mod store_postgres;
#[cfg(all(feature = "sqlite", feature = "testing"))]
mod store_sqlite;
mod stored_texts;
#[cfg(any(feature = "memory", feature = "postgres", feature = "sqlite"))]
#[cfg_attr(
    not(all(feature = "dispatch", feature = "hyper", feature = "sqlite")),
    allow(dead_code, reason = "its functions are those of all the tests together")
)]
mod stores;
#[cfg(feature = "endpoint")]
mod subscription;
#[cfg(all(
    feature = "dispatch",
    feature = "hyper",
    feature = "metrics",
    feature = "sqlite",
    feature = "tracing"
))]
mod telemetry;
#[cfg(all(feature = "memory", feature = "testing"))]
mod testing;
mod transport;
mod vectors;
#[cfg(all(
    feature = "hyper",
    feature = "manage",
    feature = "memory",
    feature = "postgres",
    feature = "sqlite",
    feature = "testing"
))]
mod versions;
#[cfg(all(
    feature = "dispatch",
    any(all(feature = "hyper", feature = "sqlite"), all(feature = "memory", feature = "testing"))
))]
#[cfg_attr(
    not(all(feature = "hyper", feature = "memory", feature = "sqlite", feature = "testing")),
    allow(dead_code, reason = "its faults are those of all the tests together")
)]
mod watched_store;
mod wycheproof;
