//! [`PgBouncer`]: a real PgBouncer between the tests and their PostgreSQL server.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hookwire::sqlx::postgres::PgConnectOptions;

use crate::postgres_server::{as_owner, is_root, prefix, run};

/// A PgBouncer with a temporary directory. It ends with the process that started it, however that ends.
pub(crate) struct PgBouncer {
    port: u16,
    warden: Child,
}

impl PgBouncer {
    /// Starts one in this `pool_mode`, with `size` sessions, before the server of this URL.
    pub(crate) fn start(url: &str, pool_mode: &str, size: u32) -> Self {
        Self::start_with(url, "*", &format!("auth_type = trust\npool_mode = {pool_mode}\n"), size)
    }

    /// Starts one that knows the database `postgres` alone, and asks for the password `right`.
    pub(crate) fn start_strict(url: &str) -> Self {
        Self::start_with(url, "postgres", "auth_type = md5\npool_mode = transaction\n", 5)
    }

    fn start_with(url: &str, databases: &str, settings: &str, size: u32) -> Self {
        let program = program();
        let name = format!("hookwire-pgbouncer-{}-{}", std::process::id(), prefix());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let server: PgConnectOptions = url.parse().unwrap();
        let (host, server) = (server.get_host(), server.get_port());
        let shown = directory.display();
        let settings = format!(
            "[databases]\n{databases} = host={host} port={server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_file = {shown}/users\n{settings}\
             default_pool_size = {size}\nmax_client_conn = 500\nlogfile = {shown}/log\nserver_login_retry = 1\n"
        );
        fs::write(directory.join("users"), "\"postgres\" \"right\"\n").unwrap();
        fs::write(directory.join("settings"), settings).unwrap();
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres"]).arg(&directory));
        }
        let warden = as_owner(Path::new("sh"))
            .args(["-c", WARDEN, "sh"])
            .args([&program, &directory])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bouncer = Self { port, warden };
        for _ in 0..600 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return bouncer;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{}", fs::read_to_string(directory.join("log")).unwrap_or_default());
    }

    /// The URL of a database behind it.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Options for an application's own connections. PgBouncer refuses the driver's `extra_float_digits`.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.url("postgres").parse::<PgConnectOptions>().unwrap().extra_float_digits(None)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.warden.stdin.take());
        let _ = self.warden.wait();
    }
}

/// Debian's, or the one that `HOOKWIRE_TEST_PGBOUNCER` names.
fn program() -> PathBuf {
    let named = std::env::var_os("HOOKWIRE_TEST_PGBOUNCER").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    named.or_else(|| folders.map(|folder| folder.join("pgbouncer")).find(|program| program.exists())).expect(
        "these tests need PgBouncer: apt-get install pgbouncer, or set HOOKWIRE_TEST_PGBOUNCER to a program",
    )
}

const WARDEN: &str =
    r#"cd /; "$1" -q "$2/settings" & bouncer=$!; cat >/dev/null; kill -9 $bouncer; rm -rf "$2""#;
