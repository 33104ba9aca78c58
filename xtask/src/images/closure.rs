//! Closures: programs that run in any root file system, because their loader and libraries come with them.
//!
//! patchelf sets the interpreter and, on programs and libraries, `DT_RPATH`: unlike `DT_RUNPATH` it also counts for the
//! libraries of libraries.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::declaration::Closure;
use super::elf::{self, Names, Needs};
use super::patchelf::Patchelf;
use super::tree::{Entry, Kind, Tree};
use crate::progress;
use crate::workspace::Build;

/// Makes the closure from the files in `packages` (all layers together).
pub(crate) fn build(
    build: &Build,
    patchelf: &Patchelf,
    closure: &Closure,
    packages: &Tree,
) -> Result<Tree> {
    let mut found = collect(build, closure, packages)?;
    let scratch = build.scratch().join("closure");
    fs::create_dir_all(&scratch).with_context(|| format!("create {}", scratch.display()))?;
    let mut tree = Tree::default();
    let imported = imports(&found)?;
    let mut address = elf::LIBRARIES;
    for (path, content) in std::mem::take(&mut found.files) {
        let (bytes, mode) = relocate(
            closure,
            patchelf,
            &scratch,
            &path,
            content,
            found.loader.as_deref(),
        )?;
        // After patchelf, which would move its sections into the room that this makes, onto read-only pages.
        let mut bytes = lighten(closure, &path, bytes, &imported)?;
        let is_library = path.starts_with(&format!("{}/lib/", closure.prefix));
        if closure.fixed_libraries && is_library && elf::is_elf(&bytes) {
            let is_loader = found.loader.as_deref() == Some(file_name(&path));
            match elf::settle(&bytes, address, is_loader) {
                Ok(settled) => (bytes, address) = settled,
                Err(error) => stays(&path, &error),
            }
        }
        tree.insert(&path, Entry::file(bytes, mode))?;
    }
    for (name, target) in &closure.links {
        tree.insert(
            &format!("{}/bin/{name}", closure.prefix),
            Entry::link(target),
        )?;
    }
    fs::remove_dir_all(&scratch).ok();
    check(closure, &tree)?;
    Ok(tree)
}

/// Files of the closure by their path in it.
#[derive(Default)]
struct Found {
    files: BTreeMap<String, Vec<u8>>,
    loader: Option<String>,
}

/// Takes programs and plugins, and every library that they need.
fn collect(build: &Build, closure: &Closure, packages: &Tree) -> Result<Found> {
    let folders = elf::default_folders(build.arch);
    let mut found = Found::default();
    let mut queue: Vec<(String, String)> = Vec::new();
    for program in &closure.programs {
        let path = packages
            .follow(program)
            .with_context(|| format!("closure program {program} is in no package"))?;
        queue.push((
            path,
            format!("{}/bin/{}", closure.prefix, file_name(program)),
        ));
    }
    for (folder, pattern) in &closure.plugins {
        let matching = packages.find(pattern);
        if matching.is_empty() {
            bail!("no file matches the closure's plugins {pattern}");
        }
        for path in matching {
            let target = format!("{}/lib/{folder}/{}", closure.prefix, file_name(&path));
            queue.push((
                packages
                    .follow(&path)
                    .with_context(|| format!("plugin {path} is a dead link"))?,
                target,
            ));
        }
    }
    let mut done = BTreeSet::new();
    while let Some((path, target)) = queue.pop() {
        if !done.insert(target.clone()) {
            continue;
        }
        let content = content(packages, &path)?;
        if elf::is_elf(content) {
            let needs = elf::needs(content).with_context(|| format!("read /{path}"))?;
            for (library, place) in libraries(packages, &path, &needs, &folders)? {
                queue.push((place, format!("{}/lib/{library}", closure.prefix)));
            }
            if let Some(interpreter) = &needs.interpreter {
                let name = file_name(interpreter).to_owned();
                let place = packages
                    .follow(interpreter)
                    .with_context(|| format!("loader {interpreter} is in no package"))?;
                queue.push((place, format!("{}/lib/{name}", closure.prefix)));
                found.loader = Some(name);
            }
        }
        found.files.insert(target, content.to_vec());
    }
    for (folder, pattern) in &closure.data {
        for path in packages.find(pattern) {
            if let Kind::File(bytes) = &packages
                .get(&path)
                .context("a path that was just found")?
                .kind
            {
                found.files.insert(
                    format!("{}/{folder}/{}", closure.prefix, file_name(&path)),
                    bytes.to_vec(),
                );
            }
        }
    }
    Ok(found)
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn content<'a>(tree: &'a Tree, path: &str) -> Result<&'a [u8]> {
    match tree.get(path).map(|entry| &entry.kind) {
        Some(Kind::File(content)) => Ok(content),
        _ => bail!("/{path} is not a file"),
    }
}

/// Needed libraries by name, with the path of each in the packages.
fn libraries(
    packages: &Tree,
    path: &str,
    needs: &Needs,
    folders: &[String],
) -> Result<Vec<(String, String)>> {
    needs
        .libraries
        .iter()
        .map(
            |name| match elf::find_library(packages, path, needs, name, folders) {
                Some(place) => Ok((name.clone(), place)),
                None => bail!("/{path} needs {name}, which is in no package of the image"),
            },
        )
        .collect()
}

/// Symbols that the closure's files take from one another.
fn imports(found: &Found) -> Result<Names> {
    let mut names = Names::new();
    for (path, content) in found
        .files
        .iter()
        .filter(|(_, content)| elf::is_elf(content))
    {
        names.append(&mut elf::imports(content).with_context(|| format!("read {path}"))?);
    }
    Ok(names)
}

/// Drops what nobody takes from a program. One of another make than expected stays as it is: it runs all the same.
fn lighten(closure: &Closure, path: &str, content: Vec<u8>, imported: &Names) -> Result<Vec<u8>> {
    let is_program = path.contains("/bin/") && elf::is_elf(&content);
    if !is_program || elf::needs(&content)?.interpreter.is_none() {
        return Ok(content);
    }
    let name = file_name(path);
    let fixed = closure.fixed.iter().any(|fixed| fixed == name);
    Ok(
        elf::lighten(&content, imported, fixed).unwrap_or_else(|error| {
            stays(path, &error);
            content
        }),
    )
}

/// Says that a file of another make than expected is used unchanged.
fn stays(path: &str, error: &anyhow::Error) {
    progress::note(file_name(path), &format!("stays as it is: {error:#}"));
}

/// Points one file at the closure's loader and libraries; files that need nothing else stay as they are.
fn relocate(
    closure: &Closure,
    patchelf: &Patchelf,
    scratch: &Path,
    path: &str,
    content: Vec<u8>,
    loader: Option<&str>,
) -> Result<(Vec<u8>, u32)> {
    if !elf::is_elf(&content) {
        return Ok((content, if path.contains("/bin/") { 0o755 } else { 0o644 }));
    }
    let needs = elf::needs(&content).with_context(|| format!("read {path}"))?;
    let is_base = |name: &String| name == "libc.so.6" || Some(name.as_str()) == loader;
    // libc itself and what needs only libc find it: it is loaded before them
    if needs.interpreter.is_none() && needs.libraries.iter().all(is_base) {
        return Ok((content, 0o755));
    }
    let work = scratch.join(file_name(path));
    fs::write(&work, content).with_context(|| format!("write {}", work.display()))?;
    fs::set_permissions(&work, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("chmod {}", work.display()))?;
    let search = format!("{}/lib", closure.prefix);
    let mut arguments = vec![
        "--force-rpath".to_owned(),
        "--set-rpath".to_owned(),
        search.clone(),
    ];
    if let (Some(_), Some(loader)) = (&needs.interpreter, loader) {
        arguments.extend(["--set-interpreter".to_owned(), format!("{search}/{loader}")]);
    }
    arguments.push(work.to_string_lossy().into_owned());
    patchelf.run(&arguments)?;
    let patched = fs::read(&work).with_context(|| format!("read {}", work.display()))?;
    fs::remove_file(&work).ok();
    Ok((patched, 0o755))
}

/// Checks that nothing in the closure looks outside of it.
fn check(closure: &Closure, tree: &Tree) -> Result<()> {
    let library_folder = format!("{}/lib", closure.prefix);
    elf::check(tree, std::slice::from_ref(&library_folder), |_| true)
        .context("check the closure")?;
    for (path, entry) in tree.iter() {
        let Kind::File(content) = &entry.kind else {
            continue;
        };
        if !elf::is_elf(content) {
            continue;
        }
        elf::check_segments(content).with_context(|| format!("/{path} cannot run"))?;
        let needs = elf::needs(content).with_context(|| format!("read {path}"))?;
        let outside = |folder: &String| folder != &library_folder;
        if needs
            .interpreter
            .iter()
            .any(|interpreter| !interpreter.starts_with(&format!("{library_folder}/")))
            || needs.search.iter().any(outside)
        {
            bail!("/{path} looks outside {}: {needs:?}", closure.prefix);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closure() -> Closure {
        Closure {
            prefix: "/usr/lib/x".into(),
            programs: vec!["usr/bin/x".into()],
            fixed: Vec::new(),
            fixed_libraries: false,
            links: BTreeMap::new(),
            plugins: BTreeMap::new(),
            data: BTreeMap::new(),
        }
    }

    #[test]
    fn a_program_that_looks_outside_is_refused() {
        let program = fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = elf::needs(&program).unwrap();
        let mut tree = Tree::default();
        tree.insert("usr/lib/x/bin/x", Entry::file(program, 0o755))
            .unwrap();
        assert!(check(&closure(), &tree).is_err());
        for library in needs.libraries.iter().chain(&needs.interpreter) {
            tree.insert(
                &format!("usr/lib/x/lib/{}", file_name(library)),
                Entry::file(&b""[..], 0o755),
            )
            .unwrap();
            tree.insert(library, Entry::file(&b""[..], 0o755)).unwrap();
        }
        let error = format!("{:#}", check(&closure(), &tree).unwrap_err());
        assert!(error.contains("looks outside"), "{error}");
    }
}
