//! The programs that listen, over real HTTP on loopback: their answers, their output, their tables and their
//! requests.

use std::io::ErrorKind::WouldBlock;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use hookwire::sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use hookwire::sqlx::{self, Row as _};
use hookwire::testing::{Faults, Samples};
use hookwire::{
    AddressPolicy, Contract, Envelope, ErrorClass, EventData, HttpClient as _, HyperClient, Limits, RawEvent,
    Secret, allison,
};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{binary, run};
use crate::endpoint::{Answer, Endpoint};

#[tokio::test]
async fn receiver_prints_each_event_of_each_contract_once() {
    for contract in Contract::NAMES.iter().map(|name| name.parse::<Contract>().unwrap()) {
        let mut program = receiver(&contract, &[]);
        let samples = program.samples(contract.clone());
        let mut requests: Vec<_> = samples.requests(now()).unwrap();
        let own = Envelope::from_parts("evt_own".parse().unwrap(), now(), own_event());
        let own = samples.request_of(&own, now()).unwrap();
        for (kind, request) in requests.drain(..) {
            for _ in 0..2 {
                assert_eq!(program.send(request.clone()).await, 200, "{kind:?}");
            }
            // This event prints the next line, so the one before was printed once.
            let line = program.line().await;
            assert_eq!(line["type"], kind.name());
            assert_eq!(line["data"], serde_json::from_str::<Value>(kind.sample().get()).unwrap());
            assert_eq!(line["duplicate"], false);
            assert_eq!(line.as_object().unwrap().len(), 5, "{line}");
        }
        assert_eq!(program.send(own.clone()).await, 200);
        let line = program.line().await;
        let body: Value = serde_json::from_slice(own.body()).unwrap();
        assert_eq!((&line["type"], &line["data"]), (&json!("own.event"), &json!({"over": "lines"})));
        match contract.name() {
            "allison" => assert_eq!(line["id"], "evt_own"),
            "allo_v1" | "nectar_desk" => {
                assert!(line["id"].as_str().unwrap().starts_with("sha256_"), "{line}")
            }
            _ => assert_eq!(line["id"], "evt_own"),
        }
        let sent = ["created_at", "timestamp"].iter().find_map(|name| body.get(name));
        assert_eq!(line.get("created_at"), Some(sent.unwrap_or(&Value::Null)), "{}", contract.name());
        assert!(program.ended_by_sigterm().await.is_empty(), "no line is left");
    }
}

#[tokio::test]
async fn receiver_and_bare_hyper_give_the_right_answer_to_every_fault_of_senders() {
    let allison = Contract::allison();
    for (mut program, contract) in [
        (receiver(&allison, &[]), allison.clone()),
        (receiver(&Contract::nectar_desk(), &[]), Contract::nectar_desk()),
        (receiver(&Contract::allo(), &[]), Contract::allo()),
        (Program::start("bare_hyper", &["--listen", ANY, "--secret", SECRET]), allison),
    ] {
        let faults = Faults::new(&program.samples(contract), now()).unwrap();
        // The receiver's default limit.
        let faults = faults.with_max_body(1 << 20).unwrap();
        let sending = &program;
        assert_eq!(
            faults.drive(async |request| sending.answer_to(request).await).await,
            [],
            "{}",
            program.name
        );
        let lines = program.ended_by_sigterm().await;
        assert_eq!(lines.len(), faults.handled(), "{}: {lines:#?}", program.name);
    }
}

#[tokio::test]
async fn eleven_hundred_half_heads_keep_nobody_out() {
    for mut program in [
        receiver(&Contract::allison(), &[]),
        Program::start("bare_hyper", &["--listen", ANY, "--secret", SECRET]),
    ] {
        let address = program.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let mut held = Vec::new();
        for _ in 0..1_100 {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            // Earlier ones are closed to make room, so writing may fail.
            let _ = stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\nx-half").await;
            held.push(stream);
        }
        let request = program.sample("call.ended", "evt_1");
        assert_eq!(program.send(request).await, 200, "{}", program.name);
        // The first was closed for the last, which still waits.
        let mut rest = [0; 1];
        assert!(matches!(held[0].read(&mut rest).await, Ok(0) | Err(_)), "{}", program.name);
        assert!(held[1_099].try_read(&mut rest).is_err_and(|error| error.kind() == WouldBlock));
        drop(held);
        let lines = program.ended_by_sigterm().await;
        assert_eq!(lines.len(), 1, "{}: {lines:?}", program.name);
    }
}

#[tokio::test]
async fn what_is_refused_is_told_on_the_standard_error_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("crm.db").display().to_string();
    for mut program in [
        receiver(&Contract::allison(), &[]),
        Program::start("bare_hyper", &["--listen", ANY, "--secret", SECRET]),
        Program::start("crm_sync", &["--listen", ANY, "--secret", SECRET, "--db", &db]),
        Program::start(
            "notify",
            &["--listen", ANY, "--secret", SECRET, "--hook", "https://chat.example.com/"],
        ),
    ] {
        let mut unsigned = program.sample("call.ended", "evt_1");
        unsigned.headers_mut().remove("x-allison-timestamp");
        assert_eq!(program.send(unsigned).await, 401, "{}", program.name);
        let cause = "401 Unauthorized: request is not proven: header x-allison-timestamp is missing";
        assert_eq!(program.told.recv().await.as_deref(), Some(cause), "{}", program.name);
        program.ended_by_sigterm().await;
    }
}

#[test]
fn a_program_that_cannot_start_says_why() {
    let at = |listen, inbox: &str| {
        run(
            "receiver",
            &["--listen", listen, "--contract", "allison", "--secret", SECRET, "--inbox", inbox],
            b"",
        )
    };
    let nowhere = at(ANY, "sqlite:/nowhere/inbox.db");
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.err.contains("unable to open database file"), "{}", nowhere.err);
    let folder = tempfile::tempdir().unwrap();
    let no_address = at("nonsense", &format!("sqlite:{}", folder.path().join("inbox.db").display()));
    assert_eq!(no_address.code, 1);
    assert!(no_address.err.contains("--listen nonsense is not possible"), "{}", no_address.err);
    let unsigned = run("receiver", &["--listen", ANY, "--contract", "allo_v1", "--secret", SECRET], b"");
    assert!(unsigned.err.contains("--unsigned is needed"), "{}", unsigned.err);
    // The shell passes this for `--secret $WEBHOOK_SECRET` if the variable is not set.
    let swallowed = run("receiver", &["--contract", "allison", "--secret", "--listen", ANY], b"");
    assert_eq!(swallowed.code, 2);
    assert!(swallowed.err.contains("--secret needs a value"), "{}", swallowed.err);
}

#[tokio::test]
async fn a_body_is_not_waited_for_that_is_too_long_already() {
    for mut program in [
        receiver(&Contract::allison(), &[]),
        Program::start("bare_hyper", &["--listen", ANY, "--secret", SECRET]),
    ] {
        let address = program.url.strip_prefix("http://").unwrap().trim_end_matches('/');
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(HEAD.as_bytes()).await.unwrap();
        // One byte over the limit, in a body that never ends.
        let chunk = [format!("{:x}\r\n", (1 << 20) + 1).as_bytes(), &vec![b' '; (1 << 20) + 1]].concat();
        stream.write_all(&chunk).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413", "{}", program.name);
        drop(stream);
        program.ended_by_sigterm().await;
    }
}

#[tokio::test]
async fn a_body_whose_chunks_are_none_is_answered_400() {
    for mut program in [
        receiver(&Contract::allison(), &[]),
        Program::start("bare_hyper", &["--listen", ANY, "--secret", SECRET]),
    ] {
        let address = program.url.strip_prefix("http://").unwrap().trim_end_matches('/');
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{HEAD}xyz\r\n").as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 400", "{}", program.name);
        drop(stream);
        program.ended_by_sigterm().await;
    }
}

#[tokio::test]
async fn receiver_remembers_in_its_inbox_what_it_has_handled_before_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = format!("sqlite:{}", folder.path().join("inbox.db").display());
    let contract = Contract::allison();
    let (first, second) = {
        let mut program = receiver(&contract, &["--inbox", &inbox]);
        let (first, second) = (program.sample("call.ended", "evt_1"), program.sample("call.ended", "evt_2"));
        assert_eq!(program.send(first.clone()).await, 200);
        assert_eq!(program.ended_by_sigterm().await.len(), 1);
        (first, second)
    };
    let mut program = receiver(&contract, &["--inbox", &inbox]);
    for request in [first, second] {
        assert_eq!(program.send(program.here(request)).await, 200);
    }
    assert_eq!(program.line().await["id"], "evt_2");
    assert!(program.ended_by_sigterm().await.is_empty());
}

#[tokio::test]
async fn an_event_whose_line_cannot_be_written_is_not_handled() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = format!("sqlite:{}", folder.path().join("inbox.db").display());
    let request = {
        let mut program = receiver_into(Stdio::from(std::fs::File::create("/dev/full").unwrap()), &inbox);
        let request = program.sample("call.ended", "evt_1");
        for _ in 0..2 {
            assert_eq!(
                program.send(request.clone()).await,
                503,
                "released, so that the next one is tried as well"
            );
        }
        program.ended_by_sigterm().await;
        request
    };
    let mut program = receiver(&Contract::allison(), &["--inbox", &inbox]);
    assert_eq!(program.send(program.here(request)).await, 200);
    assert_eq!(program.line().await["id"], "evt_1");
}

#[test]
fn programs_that_listen_refuse_a_wrong_command_line_with_exit_code_2() {
    for (example, args) in [
        ("receiver", &["--listen", ANY, "--contract", "allison"][..]),
        ("receiver", &["--listen", ANY, "--contract", "alison", "--unsigned"]),
        ("receiver", &["--listen", ANY, "--contract", "allison", "--unsigned", "--secret", "whsec_hush"]),
        ("receiver", &["--listen", ANY, "--contract", "nectar_desk", "--secret", "whsec_hush"]),
        ("receiver", &["--listen", ANY, "--contract", "allo", "--secret", "whsec_hush"]),
        ("receiver", &["--listen", ANY, "--contract", "allo", "--unsigned", "--inbox", "whsec_hush"]),
        ("receiver", &["--contract", "allo", "--unsigned", "--unsigned"]),
        ("receiver", &["--contract", "allo", "--unsigned"]),
        ("receiver", &["whsec_hush"]),
        ("receiver", &["--secret"]),
        ("bare_hyper", &["--secret=whsec_hush", "--secret=whsec_hush"]),
        ("bare_hyper", &["--secret", "whsec_hush"]),
        ("crm_sync", &["--listen", ANY, "--secret", "whsec_hush"]),
        ("notify", &["--listen", ANY, "--secret", "whsec_hush"]),
    ] {
        let refused = run(example, args, b"");
        assert_eq!((refused.code, refused.out.as_str()), (2, ""), "{example} {args:?}: {}", refused.err);
        assert!(refused.err.contains(&format!("usage: {example} ")), "{}", refused.err);
        assert!(!refused.err.contains("whsec_hush"), "{}", refused.err);
    }
    for example in ["receiver", "bare_hyper", "crm_sync", "notify"] {
        assert_eq!(run(example, &["--help"], b"").code, 0);
    }
}

#[tokio::test]
async fn crm_sync_logs_each_call_once_whatever_is_repeated_and_in_whatever_order() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("crm.db");
    let mut program = crm_sync(&db);
    // The call arrives before its contact, and it has only the contact's number.
    let call = program.sample("call.ended", "evt_1");
    assert_eq!(program.send(call.clone()).await, 200);
    assert_eq!(contacts(&db).await, [(CONTACT.to_owned(), None, Some("+15550100142".to_owned()))]);
    for _ in 0..2 {
        assert_eq!(program.send(program.sample("contact.created", "evt_2")).await, 200);
        assert_eq!(program.send(program.sample("call.ended", "evt_1")).await, 200);
    }
    assert_eq!(program.send(program.sample("call.message_taken", "evt_3")).await, 200);
    // Kill the program without warning, and restart it.
    program.child.kill().unwrap();
    let mut program = crm_sync(&db);
    assert_eq!(program.send(program.here(call)).await, 200);
    let mut nameless = allison::CallEnded::new("call_2");
    nameless.contact_id = Some(CONTACT.to_owned());
    assert_eq!(program.send(program.request_of("evt_4", nameless)).await, 200);

    let name = Some("Rosa Lind".to_owned());
    assert_eq!(contacts(&db).await, [(CONTACT.to_owned(), name, Some("+15550100142".to_owned()))]);
    assert_eq!(calls(&db).await, ["evt_1", "evt_4"]);
    assert!(program.ended_by_sigterm().await.is_empty());
}

#[tokio::test]
async fn crm_sync_writes_what_an_event_changes_and_that_it_was_handled_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("crm.db");
    let program = crm_sync(&db);
    let request = program.sample("call.ended", "evt_1");
    let triggers = [
        "CREATE TRIGGER fails BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'no call'); END",
        "CREATE TRIGGER fails BEFORE UPDATE OF committed ON hookwire_inbox WHEN new.committed \
         BEGIN SELECT RAISE(ABORT, 'no commit'); END",
    ];
    let pool = open(&db).await;
    for trigger in triggers {
        sqlx::query(trigger).execute(&pool).await.unwrap();
        assert_eq!(program.send(request.clone()).await, 503);
        assert_eq!((calls(&db).await.len(), contacts(&db).await.len()), (0, 0));
        sqlx::query("DROP TRIGGER fails").execute(&pool).await.unwrap();
    }
}

#[tokio::test]
async fn crm_sync_takes_an_event_again_at_once_that_it_could_not_write_down() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("crm.db");
    let program = crm_sync(&db);
    let request = program.sample("call.ended", "evt_1");
    let pool = open(&db).await;
    sqlx::query("ALTER TABLE calls RENAME TO others").execute(&pool).await.unwrap();
    assert_eq!(program.send(request.clone()).await, 503);
    sqlx::query("ALTER TABLE others RENAME TO calls").execute(&pool).await.unwrap();
    assert_eq!(program.send(request).await, 200);
    assert_eq!(calls(&db).await, ["evt_1"]);
}

#[tokio::test]
async fn notify_posts_each_escalation_once_the_chat_takes_it() {
    let chat = Endpoint::start([Answer::Status(500), Answer::Status(302)]).await;
    let hook = chat.url();
    let args = ["--listen", ANY, "--secret", SECRET, "--hook", hook.as_str(), "--allow-loopback"];
    let mut program = Program::start("notify", &args);
    let mut escalation = allison::EscalationTriggered::new("c-1");
    escalation.action = Some(allison::EscalationAction::Voicemail);
    escalation.reason = Some("<!channel> & all".to_owned());
    let request = program.request_of("evt_1", escalation);
    for expected in [503, 503, 200, 200] {
        assert_eq!(program.send(request.clone()).await, expected);
    }
    assert_eq!(program.send(program.sample("call.ended", "evt_2")).await, 200);
    assert_eq!(program.send(program.sample("call.escalation_triggered", "evt_3")).await, 200);
    let forged = Samples::new(Contract::allison(), &Secret::generate()).unwrap();
    let forged = forged.request("call.escalation_triggered", &"evt_4".parse().unwrap(), now()).unwrap();
    assert_eq!(program.send(program.here(forged)).await, 401);

    let posted: Vec<Value> =
        chat.requests().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect();
    let first = json!({"text": "Call c-1 was escalated: sent to voicemail. &lt;!channel&gt; &amp; all"});
    let third = json!({
        "text": "Call 5f0c6a56-2f0e-4b8e-9a52-0d6a6b6f9a11 was escalated: handed over to +15550100199 by rule emergency. \
                 The caller reported a leak."
    });
    assert_eq!(posted, [first.clone(), first.clone(), first, third]);
    assert!(program.ended_by_sigterm().await.is_empty());
}

#[test]
fn notify_posts_to_no_address_that_is_not_public_unless_told_to() {
    let hook = "http://127.0.0.1:9/hush";
    let refused = run("notify", &["--listen", ANY, "--secret", SECRET, "--hook", hook], b"");
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("scheme of the endpoint is refused"), "{}", refused.err);
    assert!(!refused.err.contains("hush"), "{}", refused.err);
}

fn receiver(contract: &Contract, more: &[&str]) -> Program {
    let mut args = vec!["--listen", ANY, "--contract", contract.name()];
    match contract.scheme() {
        Some(_) => args.extend(["--secret", SECRET]),
        None => args.push("--unsigned"),
    }
    args.extend(more);
    Program::start("receiver", &args)
}

fn receiver_into(out: Stdio, inbox: &str) -> Program {
    let args = ["--listen", ANY, "--contract", "allison", "--secret", SECRET, "--inbox", inbox];
    Program::start_into(out, "receiver", &args)
}

fn crm_sync(db: &Path) -> Program {
    Program::start("crm_sync", &["--listen", ANY, "--secret", SECRET, "--db", db.to_str().unwrap()])
}

async fn contacts(db: &Path) -> Vec<(String, Option<String>, Option<String>)> {
    let rows =
        sqlx::query("SELECT contact_id, name, phone_number FROM contacts").fetch_all(&open(db).await).await;
    rows.unwrap().iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

async fn calls(db: &Path) -> Vec<String> {
    let rows = sqlx::query("SELECT event_id FROM calls ORDER BY event_id").fetch_all(&open(db).await).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn open(db: &Path) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(db)).await.unwrap()
}

/// A program that listens on a port of its own. It is killed when dropped.
struct Program {
    name: &'static str,
    child: Child,
    url: String,
    lines: mpsc::UnboundedReceiver<String>,
    /// The program's standard error.
    told: mpsc::UnboundedReceiver<String>,
    client: HyperClient,
}

impl Program {
    fn start(name: &'static str, args: &[&str]) -> Self {
        Self::start_into(Stdio::piped(), name, args)
    }

    fn start_into(out: Stdio, name: &'static str, args: &[&str]) -> Self {
        let mut command = Command::new(binary(name));
        let mut child = command.args(args).stdout(out).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        told.read_line(&mut first).unwrap();
        let url = first.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{name}: {first}"));
        assert!(!url.contains(":0/"), "the port that it got: {url}");
        let url = url.to_owned();
        // The program would block on a pipe that nobody reads.
        let (tells, told_lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in told.lines() {
                let _ = tells.send(line.unwrap());
            }
        });
        let (sender, lines) = mpsc::unbounded_channel();
        if let Some(out) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(out).lines() {
                    let _ = sender.send(line.unwrap());
                }
            });
        }
        Self { name, child, url, lines, told: told_lines, client: HyperClient::new() }
    }

    fn samples(&self, contract: Contract) -> Samples {
        Samples::new(contract, &SECRET.parse().unwrap()).unwrap().with_uri(self.url.parse().unwrap())
    }

    fn sample(&self, event_type: &str, id: &str) -> Request<Bytes> {
        self.samples(Contract::allison()).request(event_type, &id.parse().unwrap(), now()).unwrap()
    }

    fn request_of<T: EventData>(&self, id: &str, data: T) -> Request<Bytes> {
        let envelope = Envelope::from_parts(id.parse().unwrap(), now(), data);
        self.samples(Contract::allison()).request_of(&envelope, now()).unwrap()
    }

    /// The same request, sent to this process.
    fn here(&self, mut request: Request<Bytes>) -> Request<Bytes> {
        *request.uri_mut() = self.url.parse().unwrap();
        request
    }

    async fn send(&self, request: Request<Bytes>) -> u16 {
        self.answer_to(request).await.as_u16()
    }

    async fn answer_to(&self, request: Request<Bytes>) -> StatusCode {
        let limits = Limits::new(std::time::Duration::from_secs(60))
            .with_addresses(AddressPolicy::new().allow_loopback().allow_plain_http());
        loop {
            match self.client.send(request.clone(), &limits).await {
                Ok(exchange) => return exchange.response.status(),
                // A server that answers before it has read a long body closes the connection, perhaps before
                // the client has read the answer. A sender repeats the request then.
                Err(error) if error.class() == ErrorClass::Reset => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    /// The next line that the program prints.
    async fn line(&mut self) -> Value {
        serde_json::from_str(&self.lines.recv().await.expect("it still runs")).unwrap()
    }

    /// Ends the program with SIGTERM and returns the lines that were not read yet.
    async fn ended_by_sigterm(&mut self) -> Vec<String> {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let mut left = Vec::new();
        while let Some(line) = self.lines.recv().await {
            left.push(line);
        }
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.name);
        left
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn own_event() -> RawEvent {
    let data =
        serde_json::value::RawValue::from_string("{\n  \"over\":\r\n \"lines\"\n}".to_owned()).unwrap();
    RawEvent::new("own.event", data).unwrap()
}

/// The programs use the system's clock.
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

const ANY: &str = "127.0.0.1:0";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CONTACT: &str = "con_7f3a";

/// A head that is valid, so that the receiver reads the body.
const HEAD: &str = "POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\
                    x-allison-signature: v1=00\r\nx-allison-timestamp: 1\r\nx-allison-event-id: evt_1\r\n\r\n";
