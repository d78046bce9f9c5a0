//! Real PostgreSQL servers for the tests: a shared one, and private ones that a test may stop and kill.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The URL of the shared server. The first call starts it, unless `HOOKWIRE_TEST_POSTGRES` has the URL of a
/// running one.
pub(crate) fn url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    static SERVER: OnceLock<Server> = OnceLock::new();
    URL.get_or_init(|| match std::env::var("HOOKWIRE_TEST_POSTGRES") {
        Ok(url) => url,
        Err(_) => SERVER.get_or_init(Server::start).url(),
    })
}

/// A table prefix that no other test uses.
pub(crate) fn prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static RUN: OnceLock<u64> = OnceLock::new();
    let run = RUN.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    format!("t{:08x}_{}_", run & 0xffff_ffff, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A private server in a temporary directory. It ends with the process that started it, however that ends.
pub(crate) struct Server {
    directory: PathBuf,
    bin: PathBuf,
    port: u16,
    /// The size of the server's own small file system, at `small` in the directory.
    small: Option<&'static str>,
    /// Where the server finds its locales, if not where the system has them.
    locales: Option<PathBuf>,
    // Stops the server and removes the directory when its standard input ends.
    warden: Child,
}

impl Server {
    /// Starts a new, empty server.
    pub(crate) fn start() -> Self {
        Self::start_with("", None)
    }

    /// Starts a server that keeps every committed transaction, whatever happens to it.
    pub(crate) fn start_durable() -> Self {
        Self::start_with(DURABLE, None)
    }

    /// Starts a server with a directory that holds at most `size`. Returns `None` if no file system can be
    /// mounted. The directory is mounted in the server's own namespace and disappears with it.
    pub(crate) fn start_beside_small_disk(size: &'static str) -> Option<(Self, PathBuf)> {
        let tried = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/tmp"]).output();
        if !is_root() || !tried.is_ok_and(|tried| tried.status.success()) {
            return None;
        }
        let server = Self::start_with("", Some(size));
        let small = server.directory.join("small");
        Some((server, small))
    }

    fn start_with(settings: &str, small: Option<&'static str>) -> Self {
        Self::start_from(settings, small, |bin, data| {
            run(as_owner(&bin.join("initdb"))
                .args([
                    "--auth=trust",
                    "--username=postgres",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-sync",
                    "-D",
                ])
                .arg(data));
        })
    }

    /// Starts a standby that replicates this server. From then on a commit here waits for the standby.
    pub(crate) fn start_standby(&self) -> Self {
        let port = self.port.to_string();
        let standby = Self::start_from("", None, |bin, data| {
            run(as_owner(&bin.join("pg_basebackup"))
                .args([
                    "-h",
                    "127.0.0.1",
                    "-U",
                    "postgres",
                    "-R",
                    "-X",
                    "stream",
                    "-c",
                    "fast",
                    "--no-sync",
                    "-p",
                ])
                .args([&*port, "-D"])
                .arg(data));
        });
        // The standby has its own copy of the file.
        self.configure("synchronous_standby_names = '*'\n");
        standby
    }

    /// Makes a standby the primary.
    pub(crate) fn promote(&self) {
        run(self.pg_ctl().args(["-w", "promote"]));
    }

    /// Adds settings that the running server takes over.
    pub(crate) fn configure(&self, settings: &str) {
        let file = self.directory.join("data/postgresql.conf");
        write!(fs::OpenOptions::new().append(true).open(file).unwrap(), "{settings}").unwrap();
        run(self.pg_ctl().arg("reload"));
    }

    /// Has the server ask this role for its password.
    pub(crate) fn ask_for_password(&self, role: &str) {
        let file = self.directory.join("data/pg_hba.conf");
        let rules = fs::read_to_string(&file).unwrap();
        // The first rule that fits counts.
        fs::write(&file, format!("host all {role} 127.0.0.1/32 scram-sha-256\n{rules}")).unwrap();
        run(self.pg_ctl().arg("reload"));
    }

    fn start_from(settings: &str, small: Option<&'static str>, make: impl FnOnce(&Path, &Path)) -> Self {
        let bin = binaries();
        let name = format!("hookwire-postgres-{}-{}", std::process::id(), prefix());
        let directory = std::env::temp_dir().join(name);
        let data = directory.join("data");
        fs::create_dir(&directory).unwrap();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&directory));
        }
        let warden = Command::new("sh")
            .args(["-c", WARDEN, "sh"])
            .args([bin.join("pg_ctl"), data.clone(), directory.clone()])
            .arg(if is_root() { "runuser -u postgres --" } else { "" })
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // An interrupt from the keyboard goes to the whole process group.
            .process_group(0)
            .spawn()
            .unwrap();
        make(&bin, &data);
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut file = fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        // If a setting stands twice, the last one counts.
        write!(file, "\nport = {port}\n{SETTINGS}{settings}").unwrap();
        if small.is_some() {
            fs::create_dir(directory.join("small")).unwrap();
        }
        let server = Self { directory, bin, port, small, locales: None, warden };
        server.restart();
        server
    }

    /// Starts a server that words its errors in German. Returns `None` if there is no such locale on this
    /// machine and none can be made, or if the server has no translations.
    pub(crate) fn start_in_german() -> Option<Self> {
        let mut server = Self::start();
        server.stop();
        let locales = server.directory.join("locales");
        fs::create_dir(&locales).unwrap();
        let mut make = Command::new("localedef");
        make.args(["--no-archive", "-i", "de_DE", "-f", "UTF-8"]).arg(locales.join("de_DE.UTF-8"));
        // It warns of parts that it does not need.
        let _ = make.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        server.locales = locales.join("de_DE.UTF-8/LC_MESSAGES").exists().then_some(locales);
        let translations = Path::new("/usr/share/locale/de/LC_MESSAGES");
        let has_translations = fs::read_dir(translations).ok()?.flatten().any(|file| {
            let name = file.file_name();
            name.to_string_lossy().starts_with("postgres-")
        });
        if server.locales.is_none() || !has_translations {
            return None;
        }
        let file = server.directory.join("data/postgresql.conf");
        let setting = "lc_messages = 'de_DE.UTF-8'\n";
        write!(fs::OpenOptions::new().append(true).open(file).unwrap(), "{setting}").unwrap();
        server.restart();
        Some(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Ends every session and the server, as an administrator would.
    pub(crate) fn stop(&self) {
        run(self.pg_ctl().args(["-m", "fast", "-w", "stop"]));
    }

    /// Kills the server with SIGKILL, as a fault would. Its sessions notice and end by themselves.
    pub(crate) fn kill(&self) {
        let (server, sessions) = self.processes();
        run(Command::new("kill").args(["-9", &server]));
        wait_for_the_end_of(&sessions);
    }

    /// Kills the server and all its processes, in the middle of their work.
    pub(crate) fn kill_all(&self) {
        // Stop it first, so that it starts no other process in the meantime.
        run(Command::new("kill").args(["-STOP", &self.processes().0]));
        let (server, mut ending) = self.processes();
        ending.push(server);
        // A process may end by itself before its turn.
        let _ = Command::new("kill").arg("-9").args(&ending).stderr(Stdio::null()).status();
        wait_for_the_end_of(&ending);
        // Until its parent waits for it, the ended process looks like a running one to the next server.
        fs::remove_file(self.directory.join("data/postmaster.pid")).unwrap();
    }

    /// The server's process, and its children.
    fn processes(&self) -> (String, Vec<String>) {
        let file = fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap();
        let server = file.lines().next().unwrap().to_owned();
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        let all = all.filter_map(|process| process.file_name().into_string().ok());
        let started = all.filter(|id| state_and_parent(id).is_some_and(|(_, parent)| parent == server));
        let started = started.collect();
        (server, started)
    }

    /// Starts the server again after [`stop`](Self::stop), [`kill`](Self::kill) or
    /// [`kill_all`](Self::kill_all).
    pub(crate) fn restart(&self) {
        for _ in 0..600 {
            // After a kill, the sessions end by themselves. The next server can only start after that.
            let log = self.directory.join("log");
            if self.pg_ctl().args(["-w", "-s", "-l"]).arg(log).arg("start").status().unwrap().success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{}", fs::read_to_string(self.directory.join("log")).unwrap_or_default());
    }

    fn pg_ctl(&self) -> Command {
        let program = self.bin.join("pg_ctl");
        let mut command = match self.small {
            None => as_owner(&program),
            Some(size) => {
                let mut command = Command::new("unshare");
                command
                    .args(["-m", "sh", "-c", BESIDE, "sh", size])
                    .arg(self.directory.join("small"))
                    .arg(program);
                command
            }
        };
        if let Some(locales) = &self.locales {
            command.env("LOCPATH", locales);
        }
        command.arg("-D").arg(self.directory.join("data")).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.warden.stdin.take());
        let _ = self.warden.wait();
    }
}

/// The folder of the server's programs: Debian's newest version, or the first folder of `PATH` that has
/// `initdb`.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .max_by_key(|bin| bin.iter().rev().nth(1).and_then(|name| name.to_str()?.parse::<u32>().ok()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    newest
        .or_else(|| std::env::split_paths(&path).find(|bin| bin.join("initdb").exists()))
        .expect("these tests need a PostgreSQL server: apt-get install postgresql, or set HOOKWIRE_TEST_POSTGRES to a URL")
}

/// A command that runs as the current user, or as `postgres` for root, because PostgreSQL refuses to run as
/// root.
pub(crate) fn as_owner(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn wait_for_the_end_of(processes: &[String]) {
    while processes.iter().any(|id| state_and_parent(id).is_some_and(|(state, _)| state != "Z")) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The state and the parent of a process, from `/proc`; `None` if it is gone.
fn state_and_parent(id: &str) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name is in parentheses and may contain parentheses itself.
    let mut words = stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned);
    Some((words.next()?, words.next()?))
}

pub(crate) fn is_root() -> bool {
    static IS_ROOT: OnceLock<bool> = OnceLock::new();
    *IS_ROOT.get_or_init(|| Command::new("id").arg("-u").output().unwrap().stdout == b"0\n")
}

pub(crate) fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// For root only.
const BESIDE: &str = r#"mount -t tmpfs -o "size=$1" tmpfs "$2" && chown postgres "$2" && shift 2 && exec runuser -u postgres -- "$@""#;

const WARDEN: &str = r#"cd /; cat >/dev/null; $4 "$1" -D "$2" -m immediate stop; rm -rf "$3""#;

/// The data need not survive the machine, but commits survive the server.
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 500
fsync = off
full_page_writes = off
shared_buffers = 128MB
max_wal_size = 1GB
";

const DURABLE: &str = "\
fsync = on
synchronous_commit = on
full_page_writes = on
";
