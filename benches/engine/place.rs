//! The place of a store: none, a temporary folder, or a database of the bench's PostgreSQL server.

use std::path::PathBuf;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

use crate::postgres::{Database, Server};

/// The kind of store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
    Postgres,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Sqlite, Self::Postgres];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A place for one store. It is cleaned up when it is dropped.
pub(crate) enum Place {
    Memory,
    Sqlite { file: PathBuf, _folder: Option<TempDir> },
    Postgres { url: String, database: Option<Database> },
}

impl Place {
    pub(crate) async fn new(kind: Kind, server: Option<&Server>) -> Self {
        match kind {
            Kind::Memory => Self::Memory,
            Kind::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder can be made");
                Self::Sqlite { file: folder.path().join("hooks.db"), _folder: Some(folder) }
            }
            Kind::Postgres => {
                let database = server.expect("a server was started").database().await;
                Self::Postgres { url: database.url.clone(), database: Some(database) }
            }
        }
    }

    /// A place that another process created.
    pub(crate) fn at(kind: Kind, address: &str) -> Self {
        match kind {
            Kind::Memory => Self::Memory,
            Kind::Sqlite => Self::Sqlite { file: address.into(), _folder: None },
            Kind::Postgres => Self::Postgres { url: address.into(), database: None },
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Memory => Kind::Memory,
            Self::Sqlite { .. } => Kind::Sqlite,
            Self::Postgres { .. } => Kind::Postgres,
        }
    }

    /// The text from which [`at`](Self::at) makes the same place in another process.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Memory => "-".to_owned(),
            Self::Sqlite { file, .. } => file.display().to_string(),
            Self::Postgres { url, .. } => url.clone(),
        }
    }

    /// The store's size on disk, in MiB.
    pub(crate) async fn size(&self) -> f64 {
        let bytes = match self {
            Self::Memory => return f64::NAN,
            Self::Sqlite { file, .. } => {
                // Checkpoint first, because pages in the write-ahead log would count twice.
                let mut connection =
                    SqliteConnectOptions::new().filename(file).connect().await.expect("the file is there");
                let checkpoint = sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)");
                checkpoint.execute(&mut connection).await.expect("nobody else has the file open");
                file.metadata().expect("the file is there").len()
            }
            Self::Postgres { database, .. } => match database {
                Some(database) => database.size().await,
                None => return f64::NAN,
            },
        };
        bytes as f64 / f64::from(1 << 20)
    }

    pub(crate) async fn clean_up(self) {
        if let Self::Postgres { database: Some(database), .. } = self {
            database.remove().await;
        }
    }
}

/// Opens our store at a place of any kind.
#[macro_export]
macro_rules! with_store {
    ($place:expr, $store:ident => $do:expr) => {
        match $place.kind() {
            $crate::place::Kind::Memory => {
                let $store =
                    <std::sync::Arc<hookwire::MemoryStore> as $crate::ours::Opens>::open(&$place).await;
                $do
            }
            $crate::place::Kind::Sqlite => {
                let $store =
                    <hookwire::store::sqlite::SqliteStore as $crate::ours::Opens>::open(&$place).await;
                $do
            }
            $crate::place::Kind::Postgres => {
                let $store =
                    <hookwire::store::postgres::PostgresStore as $crate::ours::Opens>::open(&$place).await;
                $do
            }
        }
    };
}
