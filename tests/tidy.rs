//! Rules of the house as tests: what imports what, how long a file is, whether documents tell the truth.
#![expect(clippy::unwrap_used, reason = "a test says that something is wrong by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Files of the project with this ending.
fn files(ending: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if path.is_dir() && !matches!(name.as_ref(), "target" | "node_modules" | ".git" | "data") {
                walk(&path, ending, found);
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    let mut found = vec![];
    walk(root(), ending, &mut found);
    found
}

/// Files below `dir` must not name any of these.
fn must_not_name(dir: &str, forbidden: &[&str]) {
    let mut seen = 0;
    for path in files(".rs").into_iter().filter(|path| path.starts_with(root().join(dir))) {
        seen += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        for word in forbidden {
            assert!(!text.contains(word), "{} names {word}", path.display());
        }
    }
    assert!(seen > 0, "{dir} has no files: the rule checks nothing");
}

#[test]
fn imports_go_one_way() {
    must_not_name(
        "actors/src/domain",
        &["crate::ports", "crate::policy", "crate::actor", "crate::handle", "actix", "tokio"],
    );
    must_not_name("actors/src/policy", &["crate::ports", "crate::actor", "crate::handle", "actix", "tokio"]);
    must_not_name("actors/src/ports", &["crate::actor", "crate::handle", "crate::policy", "actix"]);
    must_not_name("actors/src/actor", &["crate::handle"]);
    must_not_name("actors", &["sea_orm", "chromiumoxide", "actix_web"]);
    must_not_name("migrations", &["wardroom_actors", "wardroom::"]);
    must_not_name("src/vault", &["crate::store", "crate::api", "crate::engine", "sea_orm"]);
    must_not_name("src/store", &["crate::api", "crate::engine", "crate::dashboard", "crate::app", "actix_web"]);
    must_not_name("src/engine", &["crate::api", "crate::store", "crate::dashboard", "crate::app", "actix_web"]);
    must_not_name("src/webhook", &["store::entity", "crate::api", "crate::engine", "crate::dashboard", "actix_web"]);
    must_not_name(
        "src/api",
        &["store::entity", "crate::engine", "crate::dashboard", "crate::media", "crate::app", "crate::cli"],
    );
    must_not_name("src/live", &["store::entity", "crate::engine", "crate::dashboard"]);
    for dir in [
        "src/api",
        "src/auth",
        "src/dashboard",
        "src/engine",
        "src/live",
        "src/store",
        "src/vault",
        "src/metrics",
        "src/webhook",
    ] {
        must_not_name(dir, &["crate::app", "crate::cli"]);
    }
}

#[test]
fn a_file_has_one_subject() {
    let long = |path: &PathBuf| std::fs::read_to_string(path).unwrap().lines().count() > 650;
    let allowed = ["testing.rs", "kernel.rs", "handle.rs"];
    let too_long: Vec<_> =
        files(".rs").into_iter().filter(|path| !allowed.iter().any(|name| path.ends_with(name))).filter(long).collect();
    assert!(too_long.is_empty(), "{too_long:?}");
    let vague = ["utils", "helpers", "common", "manager", "service", "misc"];
    for path in files(".rs") {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(!vague.contains(&stem.as_str()), "{}", path.display());
    }
}

#[test]
fn every_setting_is_explained_where_it_stands() {
    let text = read("config.toml");
    let mut explained = false;
    for line in text.lines() {
        match line.trim() {
            line if line.starts_with('#') => explained = true,
            line if line.contains('=') => {
                assert!(explained, "{line} has no comment");
                explained = false;
            }
            _ => explained = false,
        }
    }
}

#[test]
fn the_openapi_document_is_the_one_that_the_handlers_make() {
    let made = wardroom::api::docs::document();
    let path = root().join("src/api/openapi.json");
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(&path, &made).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap_or_default() == made,
        "run `UPDATE=1 cargo test --release --test tidy`"
    );
}

/// Whoever tries all calls of the document then tries all there are.
#[test]
fn every_route_stands_in_the_document() {
    let document: serde_json::Value = serde_json::from_str(&read("src/api/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let documented: usize = paths.values().map(|verbs| verbs.as_object().unwrap().len()).sum();
    let routes = read("src/api/mod.rs");
    let verbs = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    let made: usize = verbs.iter().map(|verb| routes.matches(&format!("(\"{verb}\", ")).count()).sum();
    // `/api/version` is an old name of `/api/server/version`.
    assert_eq!(made, documented + 1, "a route has no #[utoipa::path], or is not in api/docs.rs");
    assert_eq!(routes.matches("web::resource(").count(), 1, "every route goes through resource(), which guards it");
}

#[test]
fn the_readme_lists_wahas_paths() {
    const BEGIN: &str = "<!-- from src/api/waha.toml -->\n";
    const END: &str = "<!-- to here -->";
    let readme = read("README.md");
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let made = format!("{before}{BEGIN}{}{END}{after}", wardroom::api::waha::list());
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(root().join("README.md"), &made).unwrap();
    }
    assert!(read("README.md") == made, "run `UPDATE=1 cargo test --release --test tidy`");
}

#[test]
fn every_metric_stands_in_the_runbook_and_no_other() {
    let names = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !(c.is_ascii_lowercase() || c == '_'))
            .filter(|word| {
                word.starts_with("wardroom_") && *word != "wardroom_actors" && *word != "wardroom_migrations"
            })
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(names(&read("src/metrics/mod.rs")), names(&read("deploy/RUNBOOK.md")));
}

#[test]
fn the_readme_names_what_exists() {
    let readme = read("README.md");
    let makefile = read("Makefile");
    for target in readme.split("`make ").skip(1).map(|rest| rest.split(['`', ' ']).next().unwrap()) {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
    let help = Command::new(env!("CARGO_BIN_EXE_wardroom")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for verb in readme.split("wardroom ").skip(1).filter_map(|rest| rest.split([' ', '`', '\n']).next()) {
        let is_verb = !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_lowercase());
        let known = [
            "serve",
            "migrate",
            "key",
            "tenants",
            "keys",
            "openapi",
            "sessions",
            "login",
            "send",
            "events",
            "doctor",
            "simulator",
        ];
        if is_verb && known.contains(&verb) {
            assert!(help.contains(&format!("\n  {verb}")), "wardroom {verb}");
        }
    }
    for path in
        readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|path| !path.contains("://"))
    {
        assert!(root().join(path).exists(), "README.md links to {path}");
    }
}

#[test]
fn what_is_said_of_security_can_be_looked_up() {
    let text = read("deploy/SECURITY.md");
    let code: String = files("rs").iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let is_name =
        |word: &str| word.len() > 8 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let (mut answers, mut not_met) = (std::collections::BTreeMap::<_, usize>::new(), 0);
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let is_requirement = cells.len() == 3 && cells[0].split('.').all(|part| part.parse::<u8>().is_ok());
        let (kind, about) = cells.last().and_then(|cell| cell.split_once(' ')).unwrap_or_default();
        if is_requirement {
            assert!(["test", "design", "n/a"].contains(&kind) && !about.is_empty(), "{row}");
            *answers.entry(kind).or_default() += 1;
            not_met += usize::from(kind == "design" && about.starts_with("not met"));
        }
        let quoted: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        let tests = quoted.iter().filter(|word| is_name(word) && word.matches('_').count() > 2);
        for name in tests {
            assert!(code.contains(&format!("fn {name}(")), "{name} is no test");
        }
        assert!(kind != "test" || quoted.iter().any(|word| is_name(word)), "{row}");
        for path in quoted
            .iter()
            .filter(|word| word.contains('/') && word.contains('.') && !word.contains([' ', '{', '*', '<']))
        {
            assert!(root().join(path).exists(), "{path} is not there");
        }
    }
    assert_eq!(answers.values().sum::<usize>(), 253, "as many as the levels 1 and 2 have");
    let of = |kind: &str| answers.get(kind).copied().unwrap_or_default();
    let said = format!(
        "{} are proved by tests, {} answered by the design, of which {not_met} are not met; {} do not apply.",
        of("test"),
        of("design"),
        of("n/a")
    );
    assert!(text.contains(&said), "{said}");
}

#[test]
fn the_project_speaks_of_itself_alone() {
    let listed = Command::new("git").args(["ls-files"]).current_dir(root()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for name in listed.lines().filter(|name| !name.ends_with(".lock") && !name.ends_with("tidy.rs")) {
        let Ok(text) = std::fs::read_to_string(root().join(name)) else { continue };
        for word in ["../shared", "registry.npmjs", "index.crates.io", "deb.debian.org"] {
            assert!(!text.contains(word), "{name} contains {word}");
        }
    }
}

/// Licences that ask for no more than their notice.
const FREE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unlicense",
    "Zlib",
];
/// Others that are taken, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("CC0-1.0", "given to everybody; it gives no patents, and what has it is a hash function and a comparison"),
    ("CDLA-Permissive-2.0", "for data: the certificates that Mozilla trusts"),
    ("Unicode-3.0", "for data: the tables of Unicode, with their notice"),
];

/// Whether a choice that an expression leaves is free.
fn is_free(expression: &str) -> bool {
    let expression = expression.trim();
    // Outside of brackets.
    let parts = |word: &str| {
        let (mut depth, mut from, mut parts) = (0, 0, vec![]);
        for (at, letter) in expression.char_indices() {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            if depth == 0 && expression[at..].starts_with(word) {
                parts.push(&expression[from..at]);
                from = at + word.len();
            }
        }
        parts.push(&expression[from..]);
        parts
    };
    let (either, both) = (parts(" OR "), parts(" AND "));
    if either.len() > 1 {
        either.into_iter().any(is_free)
    } else if both.len() > 1 {
        both.into_iter().all(is_free)
    } else if let Some(inner) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        is_free(inner)
    } else {
        FREE.contains(&expression) || EXCEPTIONS.iter().any(|(name, _)| *name == expression)
    }
}

#[test]
fn no_dependency_has_a_licence_that_binds_us_or_comes_from_elsewhere() {
    assert!(is_free("(MIT OR GPL-3.0) AND Unicode-3.0") && is_free("GPL-2.0 OR MIT"));
    assert!(!is_free("MIT AND GPL-3.0") && !is_free("(MIT OR ISC) AND MPL-2.0") && !is_free(""));
    let mut cargo = Command::new(env!("CARGO"));
    let out = cargo.args(["metadata", "--format-version=1", "--locked"]).current_dir(root()).output().unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "the list of packages is not the whole");
    let mut used = BTreeSet::new();
    for package in packages {
        let licence = package["license"].as_str().unwrap_or_default().replace(" / ", " OR ").replace('/', " OR ");
        assert!(is_free(&licence), "{} is {licence}", package["name"]);
        used.extend(EXCEPTIONS.iter().map(|(name, _)| *name).filter(|name| licence.contains(name)));
        let source = package["source"].as_str();
        let known = source.is_none_or(|source| source == "registry+https://github.com/rust-lang/crates.io-index");
        assert!(known, "{} comes from {source:?}", package["name"]);
    }
    assert_eq!(used.len(), EXCEPTIONS.len(), "an exception that nothing needs is none");
    let lock: serde_json::Value = serde_json::from_str(&read("deploy/wa-js/package-lock.json")).unwrap();
    for (name, package) in lock["packages"].as_object().unwrap() {
        assert!(is_free(package["license"].as_str().unwrap_or_default()), "{name}");
        assert!(name.is_empty() || package["integrity"].is_string(), "{name} is not pinned");
    }
}
