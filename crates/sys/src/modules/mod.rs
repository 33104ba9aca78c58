//! Kernel modules: finit_module(2), with the index that depmod(8) writes.

mod pattern;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};

/// The kernel unpacks the file itself (linux/module.h, CONFIG_MODULE_DECOMPRESS).
const MODULE_INIT_COMPRESSED_FILE: i32 = 4;

/// Modules of one kernel release.
#[derive(Debug)]
pub struct ModuleIndex {
    directory: PathBuf,
    /// Name to file and the files it needs, nearest first (modules.dep).
    modules: BTreeMap<String, (String, Vec<String>)>,
    /// By the alias's text before the first `:`, `*`, `?` or `[`: pattern and module.
    aliases: BTreeMap<String, Vec<(String, String)>>,
    /// Name to what is loaded before and after it (modules.softdep).
    soft: BTreeMap<String, (Vec<String>, Vec<String>)>,
    /// Names in the kernel itself (modules.builtin).
    builtin: BTreeSet<String>,
    done: BTreeSet<String>,
}

/// What one look at the devices did.
#[derive(Debug, Default)]
pub struct Round {
    /// How many modules were loaded that were not there before.
    pub loaded: usize,
    /// What could not be loaded.
    pub errors: Vec<Error>,
}

/// A module's name as the kernel has it: with `_` for `-`, without directory and `.ko.xz`.
fn canonical(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name.find(".ko").map_or(name, |end| &name[..end]);
    name.replace('-', "_")
}

/// Whether the index in `directory` has a module of this name, or one for this alias: a look at its text, without keeping it.
#[must_use]
pub fn is_known(directory: impl AsRef<Path>, name: &str) -> bool {
    let directory = directory.as_ref();
    let text = |file: &str| fs::read_to_string(directory.join(file)).unwrap_or_default();
    let module = canonical(name);
    let is_it = |line: &str| canonical(line.split(':').next().unwrap_or(line)) == module;
    let fits = |line: &str| {
        let pattern = line.split_whitespace().nth(1);
        pattern.is_some_and(|pattern| pattern::matches(pattern, name))
    };
    text("modules.dep").lines().any(is_it)
        || text("modules.builtin").lines().any(is_it)
        || text("modules.alias").lines().any(fits)
}

impl ModuleIndex {
    /// Reads the index in `directory`, `/lib/modules/RELEASE`. Only modules.dep must be there.
    ///
    /// # Errors
    /// When modules.dep cannot be read.
    pub fn open(directory: impl AsRef<Path>) -> Result<ModuleIndex> {
        let directory = directory.as_ref();
        let file = directory.join("modules.dep");
        let dep = fs::read_to_string(&file).what(|| format!("read {}", file.display()))?;
        let optional = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
        let mut index = ModuleIndex {
            directory: directory.to_owned(),
            modules: BTreeMap::new(),
            aliases: BTreeMap::new(),
            soft: BTreeMap::new(),
            builtin: optional("modules.builtin").lines().map(canonical).collect(),
            done: BTreeSet::new(),
        };
        for (file, needs) in dep.lines().filter_map(|line| line.split_once(':')) {
            let needs = needs.split_whitespace().map(str::to_owned).collect();
            index
                .modules
                .insert(canonical(file), (file.to_owned(), needs));
        }
        for line in optional("modules.alias").lines() {
            let mut words = line.split_whitespace().skip(1);
            if let (Some(pattern), Some(module)) = (words.next(), words.next()) {
                let place = index.aliases.entry(bus(pattern).to_owned()).or_default();
                place.push((pattern.to_owned(), canonical(module)));
            }
        }
        for line in optional("modules.softdep").lines() {
            index.read_softdep(line);
        }
        Ok(index)
    }

    fn read_softdep(&mut self, line: &str) {
        let mut words = line.split_whitespace().skip(1);
        let Some(name) = words.next() else { return };
        let entry = self.soft.entry(canonical(name)).or_default();
        let mut after = false;
        for word in words {
            match word {
                "pre:" => after = false,
                "post:" => after = true,
                module if after => entry.1.push(canonical(module)),
                module => entry.0.push(canonical(module)),
            }
        }
    }

    /// Whether there is such a module, as a file or in the kernel.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        let name = canonical(name);
        self.modules.contains_key(&name) || self.builtin.contains(&name)
    }

    /// Loads a module by its name or alias, after what it needs. Returns how many were loaded that were not there.
    ///
    /// # Errors
    /// When there is no such module or the kernel refuses it. That its device is missing (ENODEV) is an error too.
    pub fn load(&mut self, name: &str, params: &str) -> Result<usize> {
        let module = canonical(name);
        if self.builtin.contains(&module) {
            return Ok(0);
        }
        if self.modules.contains_key(&module) {
            return self.load_with_needs(&module, params);
        }
        match self.load_alias(name) {
            Ok(None) => Err(Error::other(
                format!("load module {name}"),
                "no such module",
            )),
            Ok(Some(count)) => Ok(count),
            Err(error) => Err(error),
        }
    }

    /// Loads every module for a modalias. `None`: no module is for it.
    ///
    /// # Errors
    /// The last module's that failed, after all were tried.
    pub fn load_alias(&mut self, alias: &str) -> Result<Option<usize>> {
        let modules = self.matching(alias);
        let mut outcome = Ok(None);
        for module in modules {
            if self.builtin.contains(&module) {
                continue;
            }
            match (self.load_with_needs(&module, ""), &mut outcome) {
                (Ok(count), Ok(sum)) => *sum = Some(sum.unwrap_or(0) + count),
                (Ok(_), Err(_)) => {}
                (Err(error), _) => outcome = Err(error),
            }
        }
        outcome
    }

    /// Loads the modules of every device that there is now: the MODALIAS in the uevent of each device of a bus. What has been
    /// tried once is not tried again.
    pub fn coldplug(&mut self, sysfs: &Path) -> Round {
        let mut round = Round::default();
        for alias in modaliases(sysfs) {
            for module in self.matching(&alias) {
                if self.done.contains(&module) || self.builtin.contains(&module) {
                    continue;
                }
                match self.load_with_needs(&module, "") {
                    Ok(count) => round.loaded += count,
                    Err(error) => {
                        self.done.insert(module);
                        // The driver looked and its device is not there: that is an answer, not a fault.
                        if error.errno() != Some(libc::ENODEV) {
                            round.errors.push(error);
                        }
                    }
                }
            }
        }
        round
    }

    /// Modules whose alias patterns match, in the index's order.
    fn matching(&self, alias: &str) -> Vec<String> {
        let mut found = Vec::new();
        for key in [bus(alias), ""] {
            for (pattern, module) in self.aliases.get(key).into_iter().flatten() {
                if pattern::matches(pattern, alias) && !found.contains(module) {
                    found.push(module.clone());
                }
            }
        }
        found
    }

    fn load_with_needs(&mut self, module: &str, params: &str) -> Result<usize> {
        let Some((file, needs)) = self.modules.get(module).cloned() else {
            return Err(Error::other(
                format!("load module {module}"),
                "no such module",
            ));
        };
        if !self.done.insert(module.to_owned()) {
            return Ok(0);
        }
        let (before, after) = self.soft.get(module).cloned().unwrap_or_default();
        let mut count = 0;
        for soft in before {
            // Soft: it is fine without.
            count += self.load(&soft, "").unwrap_or(0);
        }
        // depmod lists the nearest first: what it needs itself comes later.
        for need in needs.iter().rev() {
            if self.done.insert(canonical(need)) {
                count += self.insert(need, "")?;
            }
        }
        count += self.insert(&file, params)?;
        for soft in after {
            count += self.load(&soft, "").unwrap_or(0);
        }
        Ok(count)
    }

    /// One finit_module(2).
    fn insert(&self, file: &str, params: &str) -> Result<usize> {
        let what = || format!("load module {}", canonical(file));
        let path = self.directory.join(file);
        let opened = File::open(&path).what(what)?;
        let params = CString::new(params).map_err(io::Error::from).what(what)?;
        let compressed = path.extension().is_some_and(|extension| extension != "ko");
        let flags = if compressed {
            MODULE_INIT_COMPRESSED_FILE
        } else {
            0
        };
        match rustix::system::finit_module(&opened, &params, flags) {
            Ok(()) => Ok(1),
            Err(rustix::io::Errno::EXIST) => Ok(0),
            Err(errno) => Err(errno).what(what),
        }
    }
}

/// The fixed beginning of an alias that says what kind it is (`pci`, `usb`, `of`).
fn bus(alias: &str) -> &str {
    match alias.find([':', '*', '?', '[']) {
        Some(end) if alias.as_bytes()[end] == b':' => &alias[..end],
        Some(_) => "",
        None => alias,
    }
}

/// What the devices of all buses ask for. Not each has a file `modalias`: a card of the bus mmc says it in its uevent only.
fn modaliases(sysfs: &Path) -> BTreeSet<String> {
    let list = |directory: PathBuf| fs::read_dir(directory).into_iter().flatten().flatten();
    let mut aliases = BTreeSet::new();
    // Blocks of memory need no driver, and a large machine has thousands.
    let buses = list(sysfs.join("bus")).filter(|bus| bus.file_name() != "memory");
    for device in buses.flat_map(|bus| list(bus.path().join("devices"))) {
        let text = fs::read_to_string(device.path().join("uevent")).unwrap_or_default();
        let alias = text.lines().find_map(|line| line.strip_prefix("MODALIAS="));
        aliases.extend(alias.map(str::to_owned));
    }
    aliases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> (tempfile::TempDir, ModuleIndex) {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write(
            "modules.dep",
            "kernel/virtio-net.ko.xz: kernel/failover.ko\nkernel/failover.ko:\nkernel/e1000.ko:\n",
        );
        write(
            "modules.alias",
            "# x\nalias virtio:d00000001v* virtio_net\nalias pci:v00008086d0000100Esv* e1000\n",
        );
        write(
            "modules.softdep",
            "softdep e1000 pre: crc32c post: led-class\n",
        );
        write("modules.builtin", "kernel/fs/ext4/ext4.ko\n");
        let index = ModuleIndex::open(directory.path()).unwrap();
        (directory, index)
    }

    #[test]
    fn names_aliases_and_builtins_are_found() {
        let (directory, mut index) = index();
        for (name, expected) in [
            ("virtio-net", true),
            ("virtio_net", true),
            ("ext4", true),
            ("virtio:d00000001v00001AF4", true),
            ("usb:v1", false),
            ("binfmt-464c", false),
            ("", false),
        ] {
            assert_eq!(is_known(directory.path(), name), expected, "{name}");
        }
        assert_eq!(index.matching("virtio:d00000001v00001AF4"), ["virtio_net"]);
        assert_eq!(index.matching("pci:v00008086d0000100Esv1"), ["e1000"]);
        assert!(index.matching("usb:v1").is_empty());
        assert!(index.contains("virtio-net") && index.contains("ext4") && !index.contains("zfs"));
        assert_eq!(index.load("ext4", "").unwrap(), 0);
        assert_eq!(
            index.soft["e1000"],
            (vec!["crc32c".to_owned()], vec!["led_class".to_owned()])
        );
        assert_eq!(
            index.load("zfs", "").unwrap_err().to_string(),
            "load module zfs: no such module"
        );
    }

    #[test]
    fn coldplug_reports_each_module_once() {
        let (_directory, mut index) = index();
        let sysfs = tempfile::tempdir().unwrap();
        let device = sysfs.path().join("bus/pci/devices/0000:00:03.0");
        fs::create_dir_all(&device).unwrap();
        let uevent = "PCI_ID=8086:100E\nMODALIAS=pci:v00008086d0000100Esv1\n";
        fs::write(device.join("uevent"), uevent).unwrap();
        let round = index.coldplug(sysfs.path());
        assert_eq!(
            (round.loaded, round.errors.len()),
            (0, 1),
            "the file is missing"
        );
        assert!(
            round.errors[0]
                .to_string()
                .starts_with("load module e1000: ")
        );
        assert_eq!(index.coldplug(sysfs.path()).errors.len(), 0);
    }
}
