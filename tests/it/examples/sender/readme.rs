//! Runs the commands of the README.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use super::super::binary;

#[test]
fn the_lines_in_the_readme_go_from_a_subscription_to_a_replay() {
    let readme = include_str!("../../../../README.md");
    let (_, marked) = readme.split_once("<!-- sender -->\n```sh\n").unwrap();
    let mut script = marked.split_once("```").unwrap().0.to_owned();
    for (port, program) in [("8080", "sender"), ("8081", "receiver")] {
        let built = format!("cargo run --quiet --example {program} --features full --");
        assert!(script.contains(&built) && script.contains(port), "{script}");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        script = script
            .replace(&built, binary(program).to_str().unwrap())
            .replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{free}"));
    }
    let folder = tempfile::tempdir().unwrap();
    let ran =
        Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(folder.path()).output();
    let ran = ran.expect("bash and curl are there");
    let (out, err) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
    assert!(ran.status.success(), "{out}\n{err}");
    for told in [
        r#"{"status":"ok"}"#,
        r#""warning":"Store this secret now."#,
        r#""deliveries":1,"duplicate":false}"#,
        r#""state":"exhausted""#,
        r#"{"data":{"replayed":1}}"#,
        r#""data":{"call_id": "c-1", "summary": "rescheduled"},"duplicate":false}"#,
        r#""state":"delivered""#,
    ] {
        assert!(out.contains(told), "{told}\n{out}\n{err}");
    }
    let secrets: std::collections::HashSet<_> = out.split("\"secret\":\"").skip(1).collect();
    assert_eq!(secrets.len(), 2, "the first and the one that replaced it");
    assert!(folder.path().join("sender.db").exists());
}
