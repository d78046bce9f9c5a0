//! [`Worker`]: a child process, what it said, and what is done to it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::Outage;
use super::child::Assignment;
use super::ledger::Run;

/// A child process. It dies with this, and with this process: its standard input ends then.
pub(super) struct Worker {
    name: String,
    child: Mutex<Child>,
    said: watch::Receiver<Vec<String>>,
    reader: Option<JoinHandle<()>>,
    was_told_to_stop: bool,
    had_outage: bool,
}

impl Worker {
    pub(super) fn start(assignment: &Assignment) -> Self {
        Self::start_as("process::child::child", &assignment.name, assignment)
    }

    /// A process whose only test is this one.
    pub(super) fn start_as(test: &str, name: &str, assignment: &impl Serialize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
            .env("HOOKWIRE_CHILD", serde_json::to_string(assignment).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (say, said) = watch::channel(Vec::new());
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            // A last line without its end was cut off by a kill.
            while output.read_line(&mut line).is_ok_and(|_| line.ends_with('\n')) {
                if let Some(text) = line.trim_end().strip_prefix("~ ") {
                    say.send_modify(|said| said.push(text.to_owned()));
                }
                line.clear();
            }
        });
        Self {
            name: name.to_owned(),
            child: Mutex::new(child),
            said,
            reader: Some(reader),
            was_told_to_stop: false,
            had_outage: false,
        }
    }

    /// Waits until it said this word; tells what it said behind it.
    pub(super) async fn said(&self, word: &str) -> String {
        let behind = |line: &String| match line.split_once(' ') {
            Some((first, rest)) => (first == word).then(|| rest.to_owned()),
            None => (line == word).then(String::new),
        };
        let mut said = self.said.clone();
        let found = said.wait_for(|lines| lines.iter().any(|line| behind(line).is_some())).await;
        let Ok(lines) = found else { panic!("process {} ended before it said {word}", self.name) };
        lines.iter().find_map(behind).unwrap()
    }

    /// How many lines it said.
    pub(super) fn lines(&self) -> usize {
        self.said.borrow().len()
    }

    pub(super) fn tell(&mut self, command: &str) {
        self.was_told_to_stop |= command == "stop";
        let child = self.child.get_mut().unwrap();
        // One that has ended is found out when it is waited for.
        let _ = writeln!(child.stdin.as_mut().unwrap(), "{command}");
    }

    /// Stops it for this long (`SIGSTOP`, `SIGCONT`). Both are sent by a process of its own, so that it goes on whatever becomes
    /// of this one.
    pub(super) async fn stop_for(&self, pause: Duration) {
        let pid = self.child.lock().unwrap().id().to_string();
        let pause = format!("{:.3}", pause.as_secs_f64());
        let stop = tokio::task::spawn_blocking(move || {
            let script = "kill -STOP \"$0\" && sleep \"$1\"; kill -CONT \"$0\"";
            Command::new("sh").args(["-c", script, &pid, &pause]).status().unwrap()
        });
        assert!(stop.await.unwrap().success(), "process {} could not be stopped and continued", self.name);
    }

    /// Takes its database away and gives it back.
    pub(super) fn suffer(&mut self, outage: Outage<'_>) {
        self.had_outage = true;
        tokio::task::block_in_place(outage);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }

    /// Kills it (`SIGKILL`).
    pub(super) fn kill(mut self) -> Run {
        let status = {
            let mut child = self.child.lock().unwrap();
            child.kill().unwrap();
            child.wait().unwrap()
        };
        let was_killed = status.signal() == Some(SIGKILL);
        assert!(was_killed || self.was_told_to_stop && status.success(), "{}", self.odd_end(status));
        self.run(was_killed)
    }

    /// What it did, after it ended by itself.
    pub(super) fn end(mut self) -> Run {
        let status = self.child.lock().unwrap().wait().unwrap();
        assert!(status.success(), "{}", self.odd_end(status));
        self.run(false)
    }

    fn run(&mut self, was_killed: bool) -> Run {
        self.reader.take().unwrap().join().unwrap();
        Run {
            name: self.name.clone(),
            lines: self.said.borrow().clone(),
            was_killed,
            had_outage: self.had_outage,
        }
    }

    fn odd_end(&self, status: ExitStatus) -> String {
        format!(
            "process {} ended by itself: {status}; it said last {:?}",
            self.name,
            self.said.borrow().last()
        )
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

const SIGKILL: i32 = 9;
