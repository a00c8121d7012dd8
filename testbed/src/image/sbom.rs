//! What is in the program, as CycloneDX: the crates that are linked into it, the C library, Rust's own library. Neither what only
//! tests use nor what only runs in the compiler.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{program, said};
use crate::binaries::repository;

/// Between the columns of `cargo tree`: in no name and no address.
const COLUMN: char = '|';

/// One crate, as `name version`, with what it needs.
#[derive(Debug, Default)]
struct Crate {
    licence: String,
    repository: String,
    needs: BTreeSet<String>,
}

/// Writes the list; how many components it has.
pub(super) fn write(epoch: &str, to: &Path) -> anyhow::Result<usize> {
    let tree = said(
        "cargo",
        &[
            "tree",
            "--locked",
            "--package=appkeys",
            "--edges=normal,no-proc-macro",
            "--target",
            &program::triple(),
            "--prefix=depth",
            "--format=|{p}|{l}|{r}|",
        ],
    )?;
    let lock = fs::read_to_string(repository().join("Cargo.lock")).context("read Cargo.lock")?;
    let libraries = [
        // "glibc 2.36"
        (said("getconf", &["GNU_LIBC_VERSION"])?, "LGPL-2.1-or-later"),
        // "rustc 1.95.0 (59807616e 2026-04-14)"
        (
            said("rustc", &["--version"])?.replace("rustc", "rust-std"),
            "MIT OR Apache-2.0",
        ),
    ];
    let time: Timestamp = Timestamp::from_second(epoch.parse().context("read SOURCE_DATE_EPOCH")?)?;
    let list = list(&crates(&tree)?, &checksums(&lock), &libraries, &time.to_string())?;
    let text = serde_json::to_string_pretty(&list).context("write the list")?;
    fs::write(to, text + "\n").with_context(|| format!("write {}", to.display()))?;
    Ok(list["components"].as_array().map_or(0, Vec::len))
}

/// Reads `cargo tree`: each line has a depth, and belongs to the line above it that has one less.
fn crates(tree: &str) -> anyhow::Result<BTreeMap<String, Crate>> {
    let mut crates = BTreeMap::<String, Crate>::new();
    let mut above: Vec<String> = vec![];
    for line in tree.lines() {
        let columns: Vec<_> = line.split(COLUMN).collect();
        let [depth, package, licence, repository, ..] = columns[..] else {
            anyhow::bail!("cargo tree says {line}");
        };
        let mut words = package.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let name = format!("{name} {}", version.trim_start_matches('v'));
        above.truncate(depth.parse().with_context(|| format!("cargo tree says {line}"))?);
        if let Some(parent) = above.last().and_then(|parent| crates.get_mut(parent)) {
            parent.needs.insert(name.clone());
        }
        let entry = crates.entry(name.clone()).or_default();
        (entry.licence, entry.repository) = (licence.to_owned(), repository.to_owned());
        above.push(name);
    }
    Ok(crates)
}

/// The checksums in `Cargo.lock`, by `name version`.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let packages = lock.split("[[package]]").skip(1).filter_map(|package| {
        let value = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| Some(rest.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned()))
        };
        Some((format!("{} {}", value("name")?, value("version")?), value("checksum")?))
    });
    packages.collect()
}

fn list(
    crates: &BTreeMap<String, Crate>,
    checksums: &BTreeMap<String, String>,
    libraries: &[(String, &str)],
    time: &str,
) -> anyhow::Result<Value> {
    let own = format!("appkeys {}", env!("CARGO_PKG_VERSION"));
    let mut components = vec![];
    for (name, entry) in crates.iter().filter(|(name, _)| **name != own) {
        let checksum = checksums
            .get(name)
            .with_context(|| format!("Cargo.lock has no {name}"))?;
        let mut component = component("library", "cargo", name, &entry.licence);
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        if !entry.repository.is_empty() {
            component["externalReferences"] = json!([{"type": "vcs", "url": entry.repository}]);
        }
        components.push(component);
    }
    for (name, licence) in libraries {
        components.push(component("library", "generic", name, licence));
    }
    let needs = crates.iter().map(|(name, entry)| {
        let needs: Vec<_> = entry.needs.iter().map(|needed| reference("cargo", needed)).collect();
        json!({"ref": reference("cargo", name), "dependsOn": needs})
    });
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time,
            "component": component("application", "cargo", &own, "Apache-2.0"),
            "properties": [{"name": "target", "value": program::triple()}],
        },
        "components": components,
        "dependencies": needs.collect::<Vec<_>>(),
    }))
}

fn component(kind: &str, source: &str, name: &str, licence: &str) -> Value {
    let reference = reference(source, name);
    let mut words = name.split(' ');
    json!({
        "type": kind, "bom-ref": reference, "purl": reference, "name": words.next(), "version": words.next(),
        "licenses": [{"expression": licence.replace('/', " OR ")}],
    })
}

/// The package's URL.
fn reference(source: &str, name: &str) -> String {
    let mut words = name.split(' ');
    let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    // In a version `+` has to be written so.
    format!("pkg:{source}/{name}@{}", version.replace('+', "%2B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"0a\"\n\n\
        [[package]]\nname = \"b\"\nversion = \"2.0.0+c\"\nchecksum = \"0b\"\ndependencies = [\n \"a\",\n]\n";

    #[test]
    fn the_tree_becomes_components_and_what_each_of_them_needs() {
        let own = env!("CARGO_PKG_VERSION");
        let tree = format!(
            "0|appkeys v{own} (/somewhere)|Apache-2.0||\n1|b v2.0.0+c|MIT|https://b.example|\n2|a v1.0.0|ISC||\n\
             1|a v1.0.0|ISC|| (*)\n"
        );
        let crates = crates(&tree).unwrap();
        let list = list(
            &crates,
            &checksums(LOCK),
            &[("glibc 2.36".to_owned(), "LGPL-2.1-or-later")],
            "t",
        )
        .unwrap();
        let components = list["components"].as_array().unwrap();
        let purls: Vec<_> = components.iter().map(|component| &component["purl"]).collect();
        assert_eq!(
            purls,
            ["pkg:cargo/a@1.0.0", "pkg:cargo/b@2.0.0%2Bc", "pkg:generic/glibc@2.36"]
        );
        assert_eq!(components[1]["hashes"][0]["content"], "0b");
        assert_eq!(components[1]["externalReferences"][0]["url"], "https://b.example");
        let own = format!("pkg:cargo/appkeys@{own}");
        assert_eq!(
            list["dependencies"],
            json!([
                {"ref": "pkg:cargo/a@1.0.0", "dependsOn": []},
                {"ref": own, "dependsOn": ["pkg:cargo/a@1.0.0", "pkg:cargo/b@2.0.0%2Bc"]},
                {"ref": "pkg:cargo/b@2.0.0%2Bc", "dependsOn": ["pkg:cargo/a@1.0.0"]},
            ])
        );
        assert!(!list.to_string().contains("somewhere"), "no path of the machine");
    }

    #[test]
    fn a_crate_without_a_checksum_is_said() {
        let crates = crates("0|c v1.0.0|MIT||\n").unwrap();
        assert!(list_error(&crates).contains("Cargo.lock has no c 1.0.0"));
    }

    fn list_error(crates: &BTreeMap<String, Crate>) -> String {
        format!("{:#}", list(crates, &checksums(LOCK), &[], "t").unwrap_err())
    }
}
