//! Runs the programs in `examples/` as processes: their output and their exit codes are promises too.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use serde_json::Value;
use time::OffsetDateTime;

mod inspect;
mod providers;
#[cfg(all(
    feature = "axum",
    feature = "dispatch",
    feature = "hyper",
    feature = "memory",
    feature = "sqlite",
    feature = "testing",
    unix
))]
mod receivers;
#[cfg(all(
    feature = "axum",
    feature = "hyper",
    feature = "keyring",
    feature = "manage",
    feature = "memory",
    feature = "metrics",
    feature = "postgres",
    feature = "sqlite",
    unix
))]
mod sender;

#[test]
fn schedule_ends_allison_at_31_hours_16_minutes() {
    let run = run("schedule", &["allison", "--from", "2026-04-17T19:12:03Z"], b"");
    assert_eq!(run.code, 0);
    assert_eq!(
        run.out,
        "contract  allison: 6 attempts over 31h 16m\n\
         time-out  10s\n\
         success   200-299\n\
         retried   300-409, 411-599 and no answer at all (time-out, network fault)\n\
         ended by  410, which ends the subscription too\n\
         \n\
         attempt  wait  elapsed  at\n      \
               1    0s       0s  2026-04-17T19:12:03Z\n      \
               2    1m       1m  2026-04-17T19:13:03Z\n      \
               3   15m      16m  2026-04-17T19:28:03Z\n      \
               4    1h   1h 16m  2026-04-17T20:28:03Z\n      \
               5    6h   7h 16m  2026-04-18T02:28:03Z\n      \
               6   24h  31h 16m  2026-04-19T02:28:03Z\n"
    );
}

#[test]
fn schedule_shows_each_contracts_own_end() {
    let cases = [
        (
            "allo",
            "8 attempts over 27h 35m 5s",
            "      7   10h  17h 35m 5s",
            "27h 35m 5s  2026-04-18T22:47:08Z",
        ),
        (
            "allo_v1",
            "1 attempt\ntime-out  30s",
            "nothing, there is one attempt",
            "      1    0s       0s  2026-04-17T19:12:03Z",
        ),
        (
            "nectar_desk",
            "4 attempts over 7s",
            "retried   500-599 and no answer",
            "      4    4s       7s  2026-04-17T19:12:10Z",
        ),
        (
            "recept_ai",
            "8 attempts over 1h 3m 30s",
            "retried   300-599 and",
            "      8   32m  1h 3m 30s  2026-04-17T20:15:33Z",
        ),
        (
            "standard_webhooks",
            "10 attempts over 75h 35m 5s",
            "time-out  20s",
            "     10   24h  75h 35m 5s  2026-04-20T22:47:08Z",
        ),
    ];
    for (name, head, middle, last) in cases {
        let run = run("schedule", &[name, "--from=2026-04-17T21:12:03+02:00"], b"");
        assert_eq!(run.code, 0, "{name}");
        assert!(run.out.starts_with(&format!("contract  {name}: {head}")), "{}", run.out);
        assert!(run.out.contains(middle), "{}", run.out);
        assert!(run.out.trim_end().ends_with(last), "{}", run.out);
    }
}

#[test]
fn schedule_begins_now_when_no_time_is_given() {
    let before = OffsetDateTime::now_utc().unix_timestamp();
    let run = run("schedule", &["allo_v1"], b"");
    let last = run.out.trim_end().rsplit(' ').next().unwrap();
    let at = OffsetDateTime::parse(last, &time::format_description::well_known::Rfc3339).unwrap();
    assert!((before..=OffsetDateTime::now_utc().unix_timestamp()).contains(&at.unix_timestamp()));
}

#[test]
fn schedule_refuses_what_it_does_not_know_with_exit_code_2() {
    let unknown = run("schedule", &["alison"], b"");
    assert_eq!((unknown.code, unknown.out.as_str()), (2, ""));
    for name in hookwire::Contract::NAMES {
        assert!(unknown.err.contains(name), "{}", unknown.err);
    }
    for args in [
        &[][..],
        &["allison", "--from"],
        &["allison", "--from", "yesterday"],
        &["allison", "allo"],
        &["allison", "--at", "9"],
        &["allison", "--from=2026-04-17T19:12:03Z", "--from=2026-04-17T19:12:03Z"],
    ] {
        let refused = run("schedule", args, b"");
        assert_eq!(refused.code, 2, "{args:?}");
        assert!(refused.err.contains("usage: schedule NAME"), "{args:?}: {}", refused.err);
    }
}

#[test]
fn schedule_says_where_the_calendar_ends() {
    let run = run("schedule", &["allison", "--from", "9999-12-31T23:59:00Z"], b"");
    assert_eq!(run.code, 0);
    assert!(run.out.ends_with("the calendar ends before the next attempt\n"), "{}", run.out);
}

#[test]
fn custom_events_takes_its_event_from_end_to_end() {
    let run = run("custom_events", &[], b"");
    assert_eq!(run.code, 0, "{}", run.err);
    for step in [
        "order.paid       An order was paid in full.     {\"order_id\":\"o-1\"",
        "matches:\n   parcel.shipped\n   parcel.returned\n",
        "\"event\":\"order.paid\"",
        "webhook-signature: v1,",
        "no signature matches",
        "order o-7 paid: 4250 cents, coupons [\"SPRING\"]",
        "order.refunded with {\"order_id\":\"o-7\"}",
        "does not fit its type at `cents`, expected u64",
    ] {
        assert!(run.out.contains(step), "{step}\n{}", run.out);
    }
}

#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
#[test]
fn quickstart_shows_the_request_on_the_wire_without_all_of_its_signature() {
    let run = run("quickstart", &[], b"");
    assert_eq!(run.code, 0, "{}", run.err);
    let line = |start: &str| {
        let mut lines = run.out.lines().filter_map(|line| line.strip_prefix("   | ")?.strip_prefix(start));
        let found = lines.next().unwrap_or_else(|| panic!("no line of {start} in:\n{}", run.out));
        assert!(lines.next().is_none(), "the first arrival alone is shown");
        found
    };
    assert_eq!(line("POST "), "/hooks HTTP/1.1");
    assert!(line("x-allison-event-id: ").starts_with("evt_"));
    assert!(line("x-allison-timestamp: ").bytes().all(|byte| byte.is_ascii_digit()));
    let signature = line("x-allison-signature: ").strip_prefix("v1=").unwrap().strip_suffix("...").unwrap();
    assert!((8..=16).contains(&signature.len()), "{signature}");
    assert!(line(r#"{"id":"evt_"#).contains(r#""type":"call.ended""#));
    assert!(run.out.contains("answered 200 OK") && run.out.contains("answered 401 Unauthorized"));
    assert!(run.out.contains("Handled 1 time"));
}

#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
#[test]
fn custom_client_prints_requests_without_credentials_and_refuses_a_private_address() {
    let run = run("custom_client", &[], b"");
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
    assert!(run.out.starts_with("POST https://hooks.example.com/calls\n"), "{}", run.out);
    for part in ["\nauthorization: (hidden)\n", "\nx-allison-signature: v1=", "\n-> 204 No Content\n"] {
        assert!(run.out.contains(part), "{part}\n{}", run.out);
    }
    assert!(!run.out.contains("not-for-your-eyes"));
    assert!(run.out.contains("\n-> address_denied: URL may not be reached\n"), "{}", run.out);
}

#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
#[test]
fn custom_store_delivers_its_event() {
    let run = run("custom_store", &[], b"");
    assert_eq!(run.code, 0, "{}", run.err);
    for line in [" is stored, 1 delivery pending\n", "\n1 delivered\n"] {
        assert!(run.out.contains(line), "{line}\n{}", run.out);
    }
}

#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
#[test]
fn alerts_tells_the_chat_of_each_turn_for_the_worse_and_for_the_better() {
    let run = run("alerts", &[], b"");
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
    let told = |name: &str| {
        let of_it = |line: &str| Some(line.strip_prefix("chat: ")?.strip_prefix(name)?.to_owned());
        run.out.lines().filter_map(of_it).collect::<Vec<_>>()
    };
    let expected =
        [" was not given a call.ended: Gone at attempt 2; it can be replayed", " is disabled: gone"];
    assert_eq!(told("Globex"), expected);
    let acme = told("Acme");
    assert_eq!(acme.len(), 4, "{acme:?}");
    assert_eq!(acme[0], " has failed for more than 1 h");
    assert!(
        acme.iter()
            .any(|line| line == " was not given a call.ended: Exhausted at attempt 6; it can be replayed")
    );
    assert!(acme.iter().any(|line| line == " has failed for more than 24 h"));
    assert!(acme[3].starts_with(" has recovered; it had failed since "));
    assert!(run.out.ends_with("6 alerts were posted, and the chat has seen 6\n"), "{}", run.out);
}

#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
#[test]
fn versions_sends_each_receiver_its_version() {
    let run = run("versions", &[], b"");
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{}", run.out);
    let sent = |to: &str| {
        let line = run.out.lines().filter(|line| line.contains(to));
        line.map(|line| line.split_once("\"data\":").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let (old, new) = (r#"{"order_id":"o-7","price":42.5}}"#, r#"{"order_id":"o-7","cents":4250}}"#);
    assert_eq!(sent("first.example.com"), [old, new]);
    assert_eq!(sent("second.example.com"), [new, r#"{"order_id":"o-7"}}"#]);
    for line in ["1 delivery, 1 subscription left out", "duplicate: true, 0 deliveries"] {
        assert!(run.out.contains(line), "{}", run.out);
    }
}

struct Run {
    code: i32,
    out: String,
    err: String,
}

fn run(example: &str, args: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(binary(example))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that has refused its command line does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: status.code().expect("ended by itself"), out: text(stdout), err: text(stderr) }
}

/// The path of a built program. `cargo test` builds the examples beside the tests, but `cargo test --test it`
/// does not. So a program that is missing or older than its sources is built here.
fn binary(example: &str) -> PathBuf {
    static BUILT: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let name = format!("{example}{}", std::env::consts::EXE_SUFFIX);
    let test = std::env::current_exe().unwrap();
    let beside = test.parent().unwrap().parent().unwrap().join("examples").join(&name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join(format!("examples/{example}.rs"));
    let source = if file.exists() { file } else { root.join("examples").join(example) };
    let mut newest = newest_of(&root.join("src")).max(newest_of(&source));
    if LISTENING.contains(&example) {
        newest = newest.max(newest_of(&root.join("examples/shared")));
    }
    if beside.metadata().and_then(|program| program.modified()).is_ok_and(|built| built >= newest) {
        return beside;
    }
    let built = BUILT.get_or_init(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(root).args(["build", "--message-format=json"]);
        // A build script of a dependency is run again when these change, and all that depends on it with it.
        let own = |name: &OsString| {
            name.to_str()
                .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        };
        std::env::vars_os().map(|(name, _)| name).filter(own).for_each(|name| _ = cargo.env_remove(name));
        #[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
        {
            // With other features than the tests, most dependencies would be compiled once more.
            match cfg!(feature = "testing") {
                true => cargo.arg("--all-features"),
                false => cargo.args(["--features", "full"]),
            };
            cargo.args(IN_FULL.iter().chain(&LISTENING).flat_map(|example| ["--example", example]));
        }
        let built = cargo.args(EXAMPLES.iter().flat_map(|example| ["--example", example])).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let messages = String::from_utf8(built.stdout).unwrap();
        let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        messages.filter_map(|message| Some(message["executable"].as_str()?.into())).collect()
    });
    built.iter().find(|path| path.ends_with(&name)).unwrap().clone()
}

/// The time of the newest change to these files.
fn newest_of(path: &Path) -> SystemTime {
    match std::fs::read_dir(path) {
        Ok(entries) => {
            entries.map(|entry| newest_of(&entry.unwrap().path())).max().unwrap_or(SystemTime::UNIX_EPOCH)
        }
        Err(_) => path.metadata().unwrap().modified().unwrap(),
    }
}

const EXAMPLES: [&str; 3] = ["custom_events", "inspect", "schedule"];
/// The programs that include `examples/shared`.
const LISTENING: [&str; 5] = ["bare_hyper", "crm_sync", "notify", "receiver", "sender"];
#[cfg(all(feature = "dispatch", feature = "hyper", feature = "sqlite"))]
const IN_FULL: [&str; 5] = ["alerts", "custom_client", "custom_store", "quickstart", "versions"];
