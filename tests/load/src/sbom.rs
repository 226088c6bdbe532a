//! What the product is made of, as CycloneDX 1.6: the crates that are in the binary, the npm packages whose files are, and the programs
//! that it starts, as far as this machine has them.

use base64::Engine as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::Command;
use wardroom_load::house::root;

/// Programs that the server starts, by Debian's names.
const PROGRAMS: [&str; 4] = ["chromium-headless-shell", "chromium", "ffmpeg", "util-linux"];
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The document.
pub fn document() -> Value {
    let (crates, edges) = crates();
    let mut components = crates;
    components.extend(packages());
    components.extend(PROGRAMS.iter().filter_map(|name| program(name)));
    let edges: Vec<_> = edges.into_iter().map(|(of, on)| json!({"ref": of, "dependsOn": on})).collect();
    json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"component": {
            "type": "application", "name": "wardroom", "version": env!("CARGO_PKG_VERSION"), "bom-ref": "wardroom",
            "licenses": [{"expression": "Apache-2.0"}],
        }},
        "components": components,
        "dependencies": edges,
    })
}

/// Checksums of crates, by name and version.
fn checksums() -> HashMap<(String, String), String> {
    let lock: toml::Table = std::fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    let text = |package: &toml::Value, key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let packages = lock["package"].as_array().unwrap().iter();
    packages.filter_map(|one| Some(((text(one, "name")?, text(one, "version")?), text(one, "checksum")?))).collect()
}

/// The crates that the program is linked with, and which needs which.
fn crates() -> (Vec<Value>, BTreeMap<String, Vec<String>>) {
    let out = Command::new("cargo")
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", TARGET])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages: HashMap<_, _> =
        list(&metadata["packages"]).into_iter().map(|one| (one["id"].as_str().unwrap().to_owned(), one)).collect();
    let nodes: HashMap<_, _> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|one| (one["id"].as_str().unwrap().to_owned(), one))
        .collect();
    let name = |id: &str| {
        let (name, version) = (&packages[id]["name"], &packages[id]["version"]);
        let own = packages[id]["source"].is_null();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if own { text(name) } else { format!("pkg:cargo/{}@{}", text(name), text(version)) }
    };
    let whole = packages.keys().find(|id| packages[*id]["name"] == "wardroom").unwrap().clone();
    let (mut waiting, mut seen, mut edges) = (vec![whole.clone()], HashSet::from([whole]), BTreeMap::new());
    while let Some(id) = waiting.pop() {
        // What only tests, build scripts or macros need is in no program.
        let linked = |one: &Value| {
            let targets = list(&packages[one["pkg"].as_str().unwrap()]["targets"]);
            let is_macro = targets.iter().any(|target| list(&target["kind"]).contains(&json!("proc-macro")));
            !is_macro && list(&one["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
        };
        let needs: Vec<String> = list(&nodes[&id]["deps"])
            .iter()
            .filter(|one| linked(one))
            .map(|one| one["pkg"].as_str().unwrap().to_owned())
            .collect();
        let mut names: Vec<_> = needs.iter().map(|id| name(id)).collect();
        names.sort();
        edges.insert(name(&id), names);
        waiting.extend(needs.into_iter().filter(|id| seen.insert(id.clone())));
    }
    let checksums = checksums();
    let mut components: Vec<_> = seen
        .iter()
        .filter(|id| !packages[*id]["source"].is_null())
        .map(|id| {
            let package = &packages[id];
            let text = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
            let licence = text("license").replace(" / ", " OR ").replace('/', " OR ");
            json!({
                "type": "library", "name": text("name"), "version": text("version"), "bom-ref": name(id), "purl": name(id),
                "licenses": [{"expression": licence}],
                "hashes": [{"alg": "SHA-256", "content": checksums[&(text("name"), text("version"))]}],
            })
        })
        .collect();
    components.sort_by_key(|one| one["purl"].as_str().unwrap_or_default().to_owned());
    (components, edges)
}

/// What npm installs.
fn packages() -> Vec<Value> {
    let lock = std::fs::read_to_string(root().join("deploy/wa-js/package-lock.json")).unwrap();
    let lock: Value = serde_json::from_str(&lock).unwrap();
    let packages = lock["packages"].as_object().unwrap().iter();
    packages
        .filter_map(|(path, package)| {
            let name = path.strip_prefix("node_modules/")?;
            let version = package["version"].as_str()?;
            let digest = package["integrity"].as_str()?.strip_prefix("sha512-")?;
            let digest = base64::engine::general_purpose::STANDARD.decode(digest).unwrap();
            let purl = format!("pkg:npm/{}@{version}", name.replace('@', "%40"));
            Some(json!({
                "type": "library", "name": name, "version": version, "bom-ref": purl, "purl": purl,
                "licenses": [{"expression": package["license"]}],
                "hashes": [{"alg": "SHA-512", "content": hex::encode(digest)}],
            }))
        })
        .collect()
}

/// A program, in the version that this machine has.
fn program(name: &str) -> Option<Value> {
    let out = Command::new("dpkg-query").args(["--show", "--showformat=${Version}", name]).output().ok()?;
    let version = String::from_utf8(out.stdout).ok().filter(|version| !version.is_empty() && out.status.success())?;
    let purl = format!("pkg:deb/debian/{name}@{}", version.replace('+', "%2B"));
    Some(json!({"type": "application", "name": name, "version": version, "bom-ref": purl, "purl": purl}))
}
