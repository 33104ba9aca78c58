//! What becomes of the containers of the boot before, and whose account pulls an image.

use super::*;
use crate::services::Changed;

/// Boots this machine with what `fake` has kept of the boot before. What was asked.
fn boot(fake: &Fake, machine: Machine) -> Vec<String> {
    let (calls, errors) = boot_with_errors(fake, machine);
    assert_eq!(errors, None);
    calls
}

/// The same, and what the boot reports.
fn boot_with_errors(fake: &Fake, mut machine: Machine) -> (Vec<String>, Option<String>) {
    fake.0.borrow_mut().calls.clear();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an event loop");
    let errors = LocalSet::new().block_on(&runtime, async {
        let mut launch = Launch::new(fake, &machine);
        launch.reread = Ok;
        tokio::time::timeout(DEADLINE, launch.run(&mut machine))
            .await
            .expect("the boot goes on");
        launch.errors()
    });
    (fake.0.borrow().calls.clone(), errors)
}

/// A service behind one that the configuration is read again after: its container could be made early.
const DB: &str = "    first: {image: i, labels: {io.rancher.os.scope: system, io.rancher.os.reloadconfig: 'true'}}
    db: {image: db, command: a, volumes: [/data], labels: {io.rancher.os.scope: system, io.rancher.os.after: first}}
";

#[test]
fn a_container_is_kept_over_boots_until_its_definition_or_its_image_changes() {
    let fake = Fake::default();
    assert!(boot(&fake, machine(DB)).contains(&"create db db".to_owned()));
    assert_eq!(boot(&fake, machine(DB)), ["start first i", "start db db"]);

    let changed = machine(&DB.replace("command: a", "command: b"));
    let again = [
        "start first i",
        "stop db",
        "rename db db-before-upgrade",
        "create db db",
        "remove db-before-upgrade",
        "start db db",
    ];
    assert_eq!(boot(&fake, changed.clone()), again);
    let volume = format!("{}:/data", anonymous_volume().name);
    let binds = |fake: &Fake| fake.0.borrow().containers["db"].host_config.binds.clone();
    assert_eq!(binds(&fake), std::slice::from_ref(&volume));
    assert_eq!(
        boot(&fake, changed.clone()),
        ["start first i", "start db db"]
    );

    fake.0.borrow_mut().moved.insert("db".to_owned());
    assert_eq!(boot(&fake, changed), again);
    assert_eq!(binds(&fake), [volume]);
}

#[test]
fn a_definition_that_no_container_can_be_made_from_costs_none() {
    let fake = Fake::default();
    boot(&fake, machine(DB));
    fake.0.borrow_mut().makes_none = true;
    let changed = machine(&DB.replace("command: a", "command: b"));
    let (calls, errors) = boot_with_errors(&fake, changed);
    assert!(!calls.iter().any(|call| call.starts_with("remove")));
    let errors = errors.expect("it is said");
    assert!(
        errors.contains("no room; its earlier container stays"),
        "{errors}"
    );
    fake.0.borrow_mut().makes_none = false;
    assert_eq!(boot(&fake, machine(DB)), ["start first i", "start db db"]);
}

/// What a boot with `after` does with a machine that ran `before`, whose container was put aside.
fn boot_cut_off(before: &str, new: Option<&str>, after: &str) -> Vec<String> {
    let fake = Fake::default();
    boot(&fake, machine(before));
    fake.rename("db", "db-before-upgrade");
    if let Some(new) = new {
        let made = Fake::default();
        boot(&made, machine(new));
        let request = made.0.borrow().containers["db"].clone();
        fake.add("db", request);
    }
    boot(&fake, machine(after))
}

#[test]
fn a_replacement_that_was_cut_off_leaves_the_container_that_is_asked_for() {
    // Before the new one was made
    let back = [
        "start first i",
        "rename db-before-upgrade db",
        "start db db",
    ];
    assert_eq!(boot_cut_off(DB, None, DB), back);
    // After it was made: the definition says which of the two it is, also where the container stays whatever changes
    let label = "io.rancher.os.scope: system, io.docker.compose.rebuild: 'false'";
    let never = DB.replace("io.rancher.os.scope: system", label);
    for before in [DB, &never] {
        let changed = before.replace("command: a", "command: b");
        for (after, removed) in [
            (changed.as_str(), "remove db-before-upgrade"),
            (before, "remove db"),
        ] {
            let calls = boot_cut_off(before, Some(&changed), after);
            assert!(calls.contains(&removed.to_owned()), "{removed}: {calls:?}");
            let makes = |call: &String| call.starts_with("create db");
            assert!(!calls.iter().any(makes), "{calls:?}");
        }
    }
}

#[test]
fn a_restart_policy_that_was_taken_away_is_given_back() {
    let always = DB.replace("command: a", "command: a, restart: always");
    for is_aside in [true, false] {
        let fake = Fake::default();
        boot(&fake, machine(&always));
        {
            let containers = &mut fake.0.borrow_mut().containers;
            let policy = &mut containers.get_mut("db").expect("made").host_config;
            "no".clone_into(&mut policy.restart_policy.name);
        }
        let name = if is_aside { "db-before-upgrade" } else { "db" };
        fake.rename("db", name);
        let calls = boot(&fake, machine(&always));
        let update = format!("update {name} always");
        assert!(calls.contains(&update), "{calls:?}");
    }
}

#[test]
fn a_service_of_the_system_itself_starts_from_its_image_at_each_boot() {
    let fake = Fake::default();
    let built_in = || machine_of(machine_config::BUILT_IN, DB);
    boot(&fake, built_in());
    let calls = boot(&fake, built_in());
    for call in ["remove db", "create db db", "start db db"] {
        assert!(calls.contains(&call.to_owned()), "{call}: {calls:?}");
    }
    let label = "io.rancher.os.scope: system, io.docker.compose.rebuild: 'false'";
    let kept = || {
        let services = DB.replace("io.rancher.os.scope: system", label);
        machine_of(machine_config::BUILT_IN, &services)
    };
    boot(&fake, kept());
    assert_eq!(boot(&fake, kept()), ["start first i", "start db db"]);
}

#[test]
fn an_image_is_pulled_with_the_account_of_its_registry() {
    let fake = Fake::default();
    let services = "    far: {image: 'remote.example/x', labels: {io.rancher.os.scope: system}}\n";
    let mut machine = machine(services);
    let auth = config::cloud_config::RegistryAuth {
        username: Some("me".to_owned()),
        ..Default::default()
    };
    let auths = &mut machine.config.rancher.registry_auths;
    auths.insert("remote.example".to_owned(), auth);
    boot(&fake, machine);
    assert!(fake.was_asked("pull remote.example/x as me"));
}

/// Has the console of `fake` start from its image again. What was asked, and the error.
fn renew(fake: &Fake, after: &str) -> (Vec<String>, Option<String>) {
    let changed = Changed::between(&machine(CONSOLE), &machine(after), false);
    fake.0.borrow_mut().calls.clear();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an event loop");
    let failed = LocalSet::new().block_on(&runtime, async {
        let made = changed.make(fake, compose::Scope::System).await;
        if changed.is_made("console") {
            return made.into_iter().next();
        }
        let renewed = changed.renew(fake, "console").await;
        renewed.err().map(|error| format!("{error:#}"))
    });
    (fake.0.borrow().calls.clone(), failed)
}

const CONSOLE: &str = "    console: {image: c, restart: always, labels: {io.rancher.os.scope: system, io.docker.compose.rebuild: always}}
";

#[test]
fn a_console_starts_from_its_image_again_and_the_old_one_goes_when_the_new_one_runs() {
    let changed = CONSOLE.replace("image: c", "image: c, command: other");
    for after in [CONSOLE, &changed] {
        let fake = Fake::default();
        boot(&fake, machine(CONSOLE));
        let (calls, error) = renew(&fake, after);
        assert_eq!(error, None);
        let again = [
            "update console no",
            "stop console",
            "rename console console-before-upgrade",
            "create console c",
            "start console c",
            "remove console-before-upgrade",
        ];
        assert_eq!(calls, again, "{after}");
    }
}

#[test]
fn a_console_that_cannot_be_started_leaves_the_old_one() {
    for makes_none in [true, false] {
        let fake = Fake::default();
        boot(&fake, machine(CONSOLE));
        if makes_none {
            fake.0.borrow_mut().makes_none = true;
        } else {
            let failing = &mut fake.0.borrow_mut().failing;
            failing.insert("console".to_owned(), 1);
        }
        let (calls, error) = renew(&fake, CONSOLE);
        let error = error.expect("it is said");
        assert!(error.contains("its earlier container stays"), "{error}");
        let back = "rename console-before-upgrade console".to_owned();
        assert!(calls.contains(&back), "{calls:?}");
        assert!(fake.0.borrow().containers.contains_key("console"));
        assert!(!calls.contains(&"remove console-before-upgrade".to_owned()));
    }
}
