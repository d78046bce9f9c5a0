//! Resource use of a process as Linux reports it: processor time and peak memory, also of child processes.

use std::process::{Command, Stdio};
use std::{env, fs, process};

/// User and system seconds of this process, including threads that have ended.
pub(crate) fn cpu() -> f64 {
    stat(process::id()).map_or(0.0, |stat| stat.own)
}

/// User and system seconds of the process `parent`, of its children, and of its children that have ended.
pub(crate) fn cpu_of_family(parent: u32) -> f64 {
    let family = stat(parent).map_or(0.0, |stat| stat.own + stat.ended_children);
    let others = fs::read_dir("/proc").expect("the system is Linux").flatten();
    let pids = others.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = pids.filter_map(stat).filter(|stat| stat.parent == parent);
    children.map(|stat| stat.own + stat.ended_children).sum::<f64>() + family
}

/// The peak memory of this process, in MiB.
pub(crate) fn peak_memory() -> f64 {
    let text = fs::read_to_string("/proc/self/status").expect("the system is Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("proc(5) has this line");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("proc(5) writes kB");
    kib / 1024.0
}

/// Runs a part of this program in a process of its own and returns the numbers that it prints.
pub(crate) fn child(arguments: &[&str]) -> Vec<f64> {
    let output = Command::new(env::current_exe().expect("a program knows its own path"))
        .arg("--child")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("the program can be started again");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "the part {arguments:?} failed: {text}");
    text.split_whitespace().map(|number| number.parse().expect("a part prints numbers")).collect()
}

struct Stat {
    parent: u32,
    own: f64,
    ended_children: f64,
}

/// See proc(5). The name in parentheses may contain any character, so read the fields after the last
/// parenthesis.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<f64>().unwrap_or(0.0) / TICKS_PER_SECOND;
    Some(Stat {
        parent: fields[1].parse().ok()?,
        own: ticks(14) + ticks(15),
        ended_children: ticks(16) + ticks(17),
    })
}

/// `USER_HZ`, which is 100 on every architecture that Rust's standard library runs on.
const TICKS_PER_SECOND: f64 = 100.0;
