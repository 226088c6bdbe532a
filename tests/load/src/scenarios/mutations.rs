//! Do the model tests see anything? The policies are broken in one place at a time, in a copy, and the tests have to fail.

use crate::house::root;
use crate::report::progress;
use std::path::Path;
use std::process::Command;

/// Name, file, what stands there, what is put in its place.
const MUTATIONS: [(&str, &str, &str, &str); 5] = [
    (
        "the window counts one failure too few",
        "window.rs",
        "self.times.len() > self.limit\n",
        "self.times.len() > self.limit + 1\n",
    ),
    (
        "the breaker lets a second probe through",
        "breaker.rs",
        "State::Open { .. } | State::HalfOpen { .. } => false",
        "State::Open { .. } => false,\n            State::HalfOpen { .. } => true",
    ),
    ("the breaker does not wait longer", "breaker.rs", "saturating_mul(2)", "saturating_mul(1)"),
    (
        "the pacing forgets a place that was taken",
        "pacing.rs",
        "self.next = at.saturating_add",
        "self.next = now.saturating_add",
    ),
    (
        "the ledger gives one slot too many",
        "admission.rs",
        "let slot = if self.total() < self.node_limit",
        "let slot = if self.total() <= self.node_limit",
    ),
];

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Runs all of them; tells which were caught.
pub fn run() -> Vec<(&'static str, bool)> {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    for part in ["actors", "migrations", "src", "tests"] {
        copy(&root().join(part), &project.join(part));
    }
    for file in ["Cargo.toml", "Cargo.lock", "config.toml", "clippy.toml"] {
        std::fs::copy(root().join(file), project.join(file)).unwrap();
    }
    let caught = |name: &str| {
        progress(name);
        let mut cargo = Command::new("cargo");
        cargo.args(["test", "--release", "--offline", "-p", "wardroom-actors", "--lib", "models"]);
        let out = cargo.current_dir(project).env("CARGO_TARGET_DIR", root().join("target/mutations")).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(said.contains("test result:"), "{}", String::from_utf8_lossy(&out.stderr));
        !out.status.success()
    };
    assert!(!caught("without a mutation"), "the models fail without a mutation");
    let mutate = |(name, file, before, after): (&'static str, &str, &str, &str)| {
        let path = project.join("actors/src/policy").join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches(before).count(), 1, "{name}: the place is not there once");
        std::fs::write(&path, text.replace(before, after)).unwrap();
        let seen = caught(name);
        std::fs::write(&path, text).unwrap();
        (name, seen)
    };
    MUTATIONS.into_iter().map(mutate).collect()
}
