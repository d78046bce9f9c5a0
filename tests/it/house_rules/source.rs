//! [`Source`]: the files of `src` and their imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The files of `src` by their paths there, such as `store/mod.rs`.
pub(super) struct Source {
    files: BTreeMap<String, String>,
}

/// A name that a file imports or re-exports: its path, and its local name (`*` for all names).
struct Import {
    path: Vec<String>,
    name: String,
    is_passed_on: bool,
}

impl Source {
    pub(super) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(text) = std::fs::read_to_string(&path) {
                    files.insert(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), text);
                }
            }
        }
        Self { files }
    }

    /// The paths and texts of the files with this ending.
    pub(super) fn files_ending(&self, end: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter(move |(path, _)| path.ends_with(end)).map(|(p, t)| (p.as_str(), t.as_str()))
    }

    /// Groups of files that reach each other by imports.
    pub(super) fn circles(&self) -> Vec<Vec<String>> {
        let modules = self.modules();
        let imports: BTreeMap<_, _> = modules
            .iter()
            .map(|(module, file)| (module.clone(), imports(module, &self.files[*file])))
            .collect();
        let arrows: BTreeMap<&str, BTreeSet<&str>> = modules
            .iter()
            .map(|(module, file)| {
                let used = imports[module].iter().filter(|import| !import.is_passed_on);
                let targets = used.flat_map(|import| home(&modules, &imports, &import.path, 0));
                (*file, targets.filter(|target| target != file).collect())
            })
            .collect();
        let reached: BTreeMap<_, _> = arrows.keys().map(|file| (*file, reach(&arrows, file))).collect();
        let mut circles = BTreeSet::new();
        for (file, others) in &reached {
            if others.contains(file) {
                let members = others.iter().filter(|other| reached[*other].contains(file));
                circles.insert(members.map(|member| (*member).to_owned()).collect::<Vec<_>>());
            }
        }
        circles.into_iter().collect()
    }

    /// The names that `lib.rs` re-exports, except hidden items and whole crates.
    pub(super) fn names_at_the_root(&self) -> Vec<String> {
        let imports = imports(&[], &self.files["lib.rs"]);
        let own = |import: &Import| import.is_passed_on && import.path.len() > 1;
        imports.into_iter().filter(own).map(|import| import.name).collect()
    }

    /// The path and the file of each module.
    fn modules(&self) -> BTreeMap<Vec<String>, &str> {
        let module = |path: &str| -> Vec<String> {
            let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
            path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
        };
        self.files_ending(".rs").map(|(path, _)| (module(path), path)).collect()
    }
}

/// The crates of the default features, including this one.
pub(super) fn crates(root: &Path) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "-e", "normal", "--prefix", "none", "--locked", "--offline"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let words = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    String::from_utf8(tree.stdout).unwrap().lines().map(words).collect()
}

/// A text without its comments, documentation and unit tests.
pub(super) fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// The file that defines the item at this path: follows modules, then re-exports.
fn home<'a>(
    modules: &BTreeMap<Vec<String>, &'a str>,
    imports: &BTreeMap<Vec<String>, Vec<Import>>,
    path: &[String],
    depth: u8,
) -> Option<&'a str> {
    let inside = (0..=path.len()).rev().find(|len| modules.contains_key(&path[..*len]))?;
    let (module, rest) = path.split_at(inside);
    let file = modules[module];
    let Some(name) = rest.first() else { return Some(file) };
    if depth > 8 || inside == 0 && rest.is_empty() {
        return None;
    }
    let passed = imports[module].iter().filter(|import| import.is_passed_on);
    let found = passed.clone().find(|import| import.name == *name).map(|import| import.path.clone());
    match found {
        Some(path) => home(modules, imports, &path, depth + 1),
        // An item of the module itself. No file imports an item that the crate root defines.
        None => Some(file).filter(|_| inside > 0),
    }
}

fn reach<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<_> = arrows.get(from).into_iter().flatten().copied().collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(arrows.get(file).into_iter().flatten());
        }
    }
    reached
}

/// The paths that the `use` items of a file name, from the crate's root. A path of another crate has one
/// segment.
fn imports(module: &[String], text: &str) -> Vec<Import> {
    let code = code(text);
    let mut imports = Vec::new();
    let mut rest = code.as_str();
    while let Some(at) = rest.find("use ") {
        let (before, after) = rest.split_at(at);
        let begins = before.rsplit('\n').next().unwrap_or_default().trim();
        let Some(end) = after.find(';') else { break };
        if begins.is_empty() || begins.starts_with("pub") {
            let tree: String = after[4..end].split_whitespace().collect::<Vec<_>>().join(" ");
            let mut leaves = Vec::new();
            expand(&tree, &mut Vec::new(), &mut leaves);
            for (path, name) in leaves {
                if let Some(path) = absolute(module, &path, begins.starts_with("pub")) {
                    imports.push(Import { path, name, is_passed_on: begins.starts_with("pub") });
                }
            }
        }
        rest = &after[4..];
    }
    imports
}

/// `a::{b, c as d}` as `(a::b, b)` and `(a::c, d)`.
fn expand(tree: &str, prefix: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let segments: Vec<_> =
            head.split("::").map(str::trim).filter(|segment| !segment.is_empty()).collect();
        prefix.extend(segments.iter().map(|segment| (*segment).to_owned()));
        let mut depth = 0;
        let mut part = String::new();
        for letter in group.strip_suffix('}').unwrap_or(group).chars() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&std::mem::take(&mut part), prefix, leaves);
                    continue;
                }
                _ => {}
            }
            part.push(letter);
        }
        if !part.trim().is_empty() {
            expand(&part, prefix, leaves);
        }
        prefix.truncate(prefix.len() - segments.len());
        return;
    }
    let (path, name) =
        tree.split_once(" as ").unwrap_or_else(|| (tree, tree.rsplit("::").next().unwrap_or(tree)));
    let own = path.split("::").map(str::trim).filter(|segment| *segment != "self").map(str::to_owned);
    leaves.push((prefix.iter().cloned().chain(own).collect(), name.trim().to_owned()));
}

/// A path from the crate's root; `None` if it leads into another crate and is not re-exported.
fn absolute(module: &[String], path: &[String], is_passed_on: bool) -> Option<Vec<String>> {
    let above = path.iter().take_while(|segment| *segment == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "super" => {
            let stem = &module[..module.len().checked_sub(above)?];
            Some(stem.iter().chain(&path[above..]).cloned().collect())
        }
        // `pub use child::Name` and `pub use self::child::Name`; `self` is already removed.
        _ if is_passed_on => Some(module.iter().chain(path).cloned().collect()),
        // `use child::Name` in a module's own file looks like another crate. A path that is no module leads
        // nowhere.
        _ => Some(module.iter().chain(path).cloned().collect()),
    }
}
