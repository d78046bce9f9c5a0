//! [`Worker`]: a child process, its output, and the signals sent to it.

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

/// A child process. It ends when this value is dropped or this process ends, because its standard input
/// closes.
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

    /// Starts a process that runs only the test `test`.
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
            // A kill may have cut off the last line.
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

    /// Waits until the child printed a line that begins with `word`, and returns the rest of the line.
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

    /// The number of lines that the child printed.
    pub(super) fn lines(&self) -> usize {
        self.said.borrow().len()
    }

    pub(super) fn tell(&mut self, command: &str) {
        self.was_told_to_stop |= command == "stop";
        let child = self.child.get_mut().unwrap();
        // If the child has ended, `wait` will report it.
        let _ = writeln!(child.stdin.as_mut().unwrap(), "{command}");
    }

    /// Stops the child for this long (`SIGSTOP`, `SIGCONT`). A separate process sends both signals, so that
    /// the child continues even if this process ends.
    pub(super) async fn stop_for(&self, pause: Duration) {
        let pid = self.child.lock().unwrap().id().to_string();
        let pause = format!("{:.3}", pause.as_secs_f64());
        let stop = tokio::task::spawn_blocking(move || {
            let script = "kill -STOP \"$0\" && sleep \"$1\"; kill -CONT \"$0\"";
            Command::new("sh").args(["-c", script, &pid, &pause]).status().unwrap()
        });
        assert!(stop.await.unwrap().success(), "process {} could not be stopped and continued", self.name);
    }

    /// Takes the child's database away and gives it back.
    pub(super) fn suffer(&mut self, outage: Outage<'_>) {
        self.had_outage = true;
        tokio::task::block_in_place(outage);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }

    /// Kills the child (`SIGKILL`).
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

    /// Waits until the child ends by itself, and returns its run.
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
