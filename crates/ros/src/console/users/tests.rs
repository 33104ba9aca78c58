//! Users in a root folder of the test.

use super::*;

fn config(text: &str) -> Config {
    let loaded = config::load(
        &[config::Source { name: "t", text }],
        &config::CommandLine::default(),
    );
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    loaded.config
}

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc");
    fs::create_dir_all(&etc).unwrap();
    fs::write(
        etc.join("passwd"),
        "root:x:0:0:root:/root:/bin/sh\nrancher:x:1100:1100::/home/rancher:/bin/sh\n",
    )
    .unwrap();
    fs::write(
        etc.join("group"),
        "root:x:0:\ndocker:x:1101:\nrancher:x:1100:\n",
    )
    .unwrap();
    fs::write(etc.join("shadow"), "root:*:::::::\nrancher:*:::::::\n").unwrap();
    root
}

fn text(root: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(root.path().join("etc").join(name)).unwrap()
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ a";

#[test]
fn users_get_what_their_entries_say() {
    let root = root();
    let config = config(&format!(
        "groups:\n- admins: [ada]\n- web, ftp\nusers:\n- default\n- plain\n- name: ada\n  uid: 1500\n  gecos: Ada L\n  groups: docker, wheel\n  shell: /bin/zsh\n  sudo: ALL=(ALL) NOPASSWD:ALL\n  expiredate: 2032-09-01\n  ssh-authorized-keys: ['{KEY}']\n- name: daemon1\n  system: true\n  sudo: false\n"
    ).replace("ssh-authorized-keys", "ssh_authorized_keys"));
    ensure_in(root.path(), &config).unwrap();
    ensure_in(root.path(), &config).unwrap();
    assert_eq!(
        text(&root, "passwd").lines().skip(2).collect::<Vec<_>>(),
        [
            "plain:x:1200:1200::/home/plain:/bin/sh",
            "ada:x:1500:1500:Ada L:/home/ada:/bin/zsh",
            "daemon1:x:900:900::/home/daemon1:/bin/sh"
        ]
    );
    let group = text(&root, "group");
    for line in [
        "docker:x:1101:ada",
        "admins:x:2000:ada",
        "wheel:x:2003:ada",
        "ada:x:1500:",
    ] {
        assert!(
            group
                .lines()
                .any(|known| known.split(':').next() == line.split(':').next()
                    && known.split(':').nth(3) == line.split(':').nth(3)),
            "{line}: {group}"
        );
    }
    assert!(
        text(&root, "shadow").contains("ada:*::::::22889:")
            || text(&root, "shadow").contains("ada:*:::::22889:"),
        "{}",
        text(&root, "shadow")
    );
    assert_eq!(
        text(&root, "sudoers.d/90-cloud-init-users"),
        "ada ALL=(ALL) NOPASSWD:ALL\n"
    );
    let keys = root.path().join("home/ada/.ssh/authorized_keys");
    assert_eq!(fs::read_to_string(&keys).unwrap(), format!("{KEY}\n"));
    assert_eq!(fs::metadata(&keys).unwrap().uid(), 1500);
    assert!(!root.path().join("home/daemon1").exists());
}

#[test]
fn who_user_names_is_the_default_user_and_rancher_stays() {
    for text_of_user in ["user: bob", "user: {name: bob}"] {
        let root = root();
        let config = config(&format!("{text_of_user}\nusers: [default]\npassword: p"));
        assert_eq!(default_user(&config), Some("bob"));
        ensure_in(root.path(), &config).unwrap();
        assert!(text(&root, "passwd").contains("bob:x:1200:1200::/home/bob:"));
        assert!(text(&root, "group").contains("docker:x:1101:bob\n"));
        assert_eq!(
            text(&root, "sudoers.d/90-cloud-init-users"),
            "bob ALL=(ALL) NOPASSWD:ALL\n"
        );
        let (given, _) = passwords(&config);
        let names: Vec<&str> = given.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["rancher", "bob"]);
    }
}

#[test]
fn the_default_user_is_rancher_unless_user_names_another_one() {
    for text_of_user in ["user: rancher", "user: default", "users: [default]"] {
        let root = root();
        let config = config(text_of_user);
        assert_eq!(default_user(&config), None, "{text_of_user}");
        ensure_in(root.path(), &config).unwrap();
        assert_eq!(text(&root, "passwd").lines().count(), 2, "{text_of_user}");
    }
    let root = root();
    let config =
        config("user: {sudo: false, groups: adm, name: bob}\nusers: [{name: default, shell: /s}]");
    ensure_in(root.path(), &config).unwrap();
    assert!(text(&root, "passwd").ends_with("bob:x:1200:1200::/home/bob:/s\n"));
    assert!(!root.path().join("etc/sudoers.d").exists());
    assert!(text(&root, "group").contains("adm:x:2000:bob\n"));
}

#[test]
fn a_user_keeps_the_number_that_its_home_has() {
    let root = root();
    let home = root.path().join("home/two");
    fs::create_dir_all(&home).unwrap();
    sys::fs::set_owner(&home, 1201, 1201).unwrap();
    ensure_in(root.path(), &config("users: [two, one]")).unwrap();
    assert!(text(&root, "passwd").contains("two:x:1201:"));
    assert!(text(&root, "passwd").contains("one:x:1200:"));
}

#[test]
fn a_bad_user_costs_only_itself() {
    let root = root();
    let result = ensure_in(
        root.path(),
        &config("users: ['a:b', {name: good}, {name: c, shell: \"x\\ny\"}, {name: d, uid: 0}]"),
    );
    let error = format!("{:#}", result.unwrap_err());
    assert!(
        error.contains("user a:b")
            && error.contains("user c: shell")
            && error.contains("uid 0 is another"),
        "{error}"
    );
    assert!(text(&root, "passwd").contains("good:x:1200"));
    assert!(!text(&root, "passwd").contains("a:b:"));
}

#[test]
fn passwords_follow_cloud_inits_rules() {
    let (good, bad) = passwords(&config(
        "password: p\nusers: [{name: a, passwd: $6$h, lock_passwd: false}, {name: b, plain_text_passwd: x}]\nchpasswd: {expire: true, list: \"c:1\\nd:RANDOM\\n\", users: [{name: e, password: q}]}",
    ));
    let names: Vec<String> = good
        .iter()
        .map(|(name, password, expire)| format!("{name} {password} {expire}"))
        .collect();
    assert_eq!(
        names,
        ["rancher p false", "a $6$h false", "c 1 true", "e q true"]
    );
    assert_eq!(bad.len(), 2, "{bad:?}");
}

#[test]
fn dates_are_days_since_1970() {
    assert_eq!(days("1970-01-01").unwrap(), 0);
    assert_eq!(days("2000-03-01").unwrap(), 11017);
    assert_eq!(days("2032-09-01").unwrap(), 22889);
    assert!(days("soon").is_err() && days("2032-13-01").is_err());
}

#[test]
fn homes_and_keys_are_made_again_on_a_disk() {
    let root = root();
    let config = config(&format!(
        "users:\n- {{name: ada, ssh_authorized_keys: ['{KEY}']}}\n- {{name: bob, no_create_home: true}}\n- {{name: carl, system: true, homedir: /srv}}\n"
    ));
    ensure_in(root.path(), &config).unwrap();
    let passwd = text(&root, "passwd");
    let home = root.path().join("home");
    // As a new disk at /home hides them.
    fs::remove_dir_all(&home).unwrap();
    furnish_all(root.path(), &config, Path::new("/home")).unwrap();
    let keys = home.join("ada/.ssh/authorized_keys");
    assert_eq!(fs::read_to_string(keys).unwrap(), format!("{KEY}\n"));
    assert_eq!(fs::metadata(home.join("ada")).unwrap().uid(), 1200);
    assert!(!home.join("bob").exists() && !root.path().join("srv").exists());
    assert_eq!(text(&root, "passwd"), passwd);
    assert_eq!(names(&config), ["rancher", "docker", "ada", "bob", "carl"]);
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn a_home_of_another_number_is_left_alone_and_its_user_gets_in() {
    let root = root();
    let at = |name: &str| root.path().join(name);
    let config = config(&format!(
        "users: [{{name: ada, ssh_authorized_keys: ['{KEY}']}}, {{name: eve}}]"
    ));
    ensure_in(root.path(), &config).unwrap();
    let in_ram = at("run/rancher/ssh-users/ada");
    assert!(!in_ram.exists());
    // A disk of another machine, mounted at /home.
    fs::remove_dir_all(at("home")).unwrap();
    fs::create_dir_all(at("home/ada/.ssh")).unwrap();
    let theirs = at("home/ada/.ssh/authorized_keys");
    fs::write(&theirs, "theirs\n").unwrap();
    for name in ["home/ada", "home/ada/.ssh", "home/ada/.ssh/authorized_keys"] {
        sys::fs::set_owner(&at(name), 1300, 1300).unwrap();
    }
    let furnish = || furnish_all(root.path(), &config, Path::new("/home"));
    furnish().unwrap();
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs\n");
    assert_eq!(fs::read_dir(at("home/ada/.ssh")).unwrap().count(), 1);
    assert_eq!(fs::metadata(at("home/ada")).unwrap().uid(), 1300);
    assert_eq!(fs::metadata(at("home/eve")).unwrap().uid(), 1201);
    assert_eq!(fs::read_to_string(&in_ram).unwrap(), format!("{KEY}\n"));
    // Its owner gives it to ada: what is in RAM would outlive the home's.
    sys::fs::set_owner(&at("home/ada"), 1200, 1200).unwrap();
    sys::fs::set_owner(&at("home/ada/.ssh"), 1200, 1200).unwrap();
    sys::fs::set_owner(&theirs, 1200, 1200).unwrap();
    furnish().unwrap();
    assert_eq!(
        fs::read_to_string(&theirs).unwrap(),
        format!("theirs\n{KEY}\n")
    );
    assert!(!in_ram.exists());
}
