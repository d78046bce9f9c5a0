//! The rules of CONTRIBUTING.md that a program can check: no circles of files, a small crate root, short SQL
//! files, `cfg(feature)` in few places, no platform named outside its own file.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use source::{Source, crates};

#[test]
fn no_two_files_import_each_other() {
    let circles = Source::read().circles();
    let text: Vec<_> = circles.iter().map(|files| files.join(" <-> ")).collect();
    assert!(circles.is_empty(), "circles of files in src:\n{}", text.join("\n"));
}

#[test]
fn the_crate_root_has_at_most_60_names() {
    let names = Source::read().names_at_the_root();
    assert!(names.len() > 20, "found too few names to believe it: {names:?}");
    assert!(names.len() <= 60, "{} names at the root: {names:?}", names.len());
}

#[test]
fn no_sql_file_has_more_than_350_lines() {
    let source = Source::read();
    let sql: Vec<_> = source.files_ending(".sql").collect();
    assert!(!sql.is_empty());
    for (path, text) in sql {
        let lines = text.lines().count();
        assert!(lines <= 350, "{path} has {lines} lines");
    }
}

#[test]
fn no_sql_function_has_more_than_60_lines() {
    for (path, text) in Source::read().files_ending(".sql") {
        let mut begin = None;
        for (number, line) in text.lines().enumerate() {
            if line.starts_with("CREATE FUNCTION") {
                begin = Some(number);
            }
            if line.starts_with("$body$")
                && let Some(begin) = begin.take()
            {
                let lines = number + 1 - begin;
                assert!(lines <= 60, "{path}:{}: the function has {lines} lines", begin + 1);
            }
        }
        assert_eq!(begin, None, "{path} ends within a function");
    }
}

#[test]
fn features_are_asked_for_in_at_most_60_places() {
    let places: usize = Source::read()
        .files_ending(".rs")
        .flat_map(|(_, text)| text.lines())
        .filter(|line| line.contains("cfg(") && line.contains("feature"))
        .count();
    assert!(places <= 60, "`cfg(.. feature ..)` stands in {places} places");
}

#[test]
fn no_platform_is_named_outside_its_own_file() {
    let platforms = ["allison", "allo", "allo_v1", "nectar_desk", "recept_ai"];
    for (path, text) in Source::read().files_ending(".rs") {
        // The suites use platforms' names as the names of sources.
        if path.starts_with("platform/") || path.starts_with("store/conformance/") {
            continue;
        }
        for line in source::code(text).lines() {
            for platform in platforms {
                let named = line.contains(&format!("\"{platform}\""));
                assert!(!named, "{path} asks for a platform by its name: {}", line.trim());
            }
        }
    }
}

#[test]
fn the_default_features_bring_at_most_45_crates() {
    let names: BTreeSet<_> = crates(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(names.len() > 10, "found too few crates to believe it: {names:?}");
    assert!(names.len() <= 45, "{} crates by default: {names:?}", names.len());
}

/// The first lines of each example say how to run it. Without its features, cargo refuses the command.
#[test]
fn the_command_of_each_example_has_the_features_that_it_needs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let features: BTreeMap<String, Vec<String>> = manifest["features"].clone().try_into().unwrap();
    let needs = |name: &str| -> Vec<String> {
        let examples = manifest["example"].as_array().unwrap();
        let found = examples.iter().find(|example| example["name"].as_str() == Some(name));
        let needed = found.and_then(|example| example.get("required-features").cloned());
        needed.map_or_else(Vec::new, |needed| needed.try_into().unwrap())
    };
    let mut count = 0;
    for entry in std::fs::read_dir(root.join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let main = if path.is_dir() { path.join("main.rs") } else { path.clone() };
        // `shared` is no program, and `actix` is a crate of its own.
        let Ok(text) = std::fs::read_to_string(main) else { continue };
        let name = path.file_stem().unwrap().to_str().unwrap();
        let command = format!("cargo run --example {name}");
        let head = text.lines().map_while(|line| line.strip_prefix("//!"));
        let line = head.map(str::trim_start).find_map(|line| line.split_once(&command));
        let (_, rest) = line.unwrap_or_else(|| panic!("{name} does not say how to run it"));
        let given = rest.split_once("--features ").map_or("", |(_, given)| given);
        let given = given.split([' ', '`']).next().unwrap_or_default();
        let mut enabled: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = given.split(',').collect();
        while let Some(feature) = open.pop() {
            if enabled.insert(feature) {
                open.extend(features.get(feature).into_iter().flatten().map(String::as_str));
            }
        }
        for needed in needs(name) {
            assert!(enabled.contains(needed.as_str()), "{name} needs {needed}, and its command does not");
        }
        count += 1;
    }
    assert!(count > 10, "found {count} examples");
}
