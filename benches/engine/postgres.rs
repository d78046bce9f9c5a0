//! The bench's own PostgreSQL server. Every setting but the number of connections has its default, so `fsync`
//! and `synchronous_commit` are on.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tempfile::TempDir;

/// A server in a temporary folder, reached by a socket there. It ends with this process.
pub(crate) struct Server {
    process: Child,
    folder: TempDir,
    databases: AtomicU32,
}

impl Server {
    /// Starts a server if PostgreSQL is installed.
    pub(crate) async fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("hw").tempdir().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        // PostgreSQL refuses to run as root.
        let is_root = folder.path().metadata().is_ok_and(|metadata| metadata.uid() == 0);
        if is_root {
            done(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        done(as_user(is_root, &programs.join("initdb")).arg("-D").arg(&data).args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ]));
        let process = as_user(is_root, &programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-c", MAX_CONNECTIONS])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server can be started");
        let server = Self { process, folder, databases: AtomicU32::new(0) };
        for _ in 0..200 {
            if PgConnection::connect(&server.url("postgres")).await.is_ok() {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the PostgreSQL server does not answer");
    }

    /// The process whose children serve the connections.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) async fn database(&self) -> Database {
        let name = format!("bench_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let admin = self.url("postgres");
        execute(&admin, &format!("CREATE DATABASE {name}")).await;
        Database { url: self.url(&name), name, admin }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.path().display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGQUIT ends the server at once and also ends its children; after SIGKILL they would live on for a
        // while.
        drop(Command::new("kill").args(["-QUIT", &self.process.id().to_string()]).status());
        drop(self.process.wait());
    }
}

/// A database of the server.
pub(crate) struct Database {
    pub(crate) url: String,
    name: String,
    admin: String,
}

impl Database {
    pub(crate) async fn size(&self) -> u64 {
        let mut connection = PgConnection::connect(&self.url).await.expect("the server answers");
        let row = sqlx::query("SELECT pg_database_size(current_database())").fetch_one(&mut connection).await;
        let size: i64 = row.and_then(|row| row.try_get(0)).expect("the server tells sizes");
        size as u64
    }

    pub(crate) async fn remove(self) {
        execute(&self.admin, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
        // Write this database's dirty pages now, so that the next measurement does not pay for them.
        execute(&self.admin, "CHECKPOINT").await;
    }
}

async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("the server answers");
    // The SQL contains only names from this file.
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("the server obeys");
}

fn programs() -> Option<PathBuf> {
    let by_version = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = by_version.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.into_iter().rev().find(|programs| programs.join("initdb").exists())
}

/// Starts a program that gets a signal when its parent thread ends, because the bench may be interrupted.
fn as_user(is_root: bool, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "QUIT"]).arg(program);
    command
}

fn done(command: &mut Command) {
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A connection for each producer of the handwritten pipeline, and those of ours.
const MAX_CONNECTIONS: &str = "max_connections=200";
