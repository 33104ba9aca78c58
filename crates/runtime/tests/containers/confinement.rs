//! What a container cannot do.

use std::fs;
use std::os::fd::AsFd;

use runtime::oci::{IdMapping, Namespace, NamespaceType, Rlimit};
use runtime::{Runtime, Stdio};
use sys::capability::CapSet;
use sys::netlink::{BridgeOptions, LinkKind, NewLink, Rtnetlink, in_netns, netns_of};

use crate::bundle::{Bundle, DEFAULT_CAPABILITIES, Test, end, runtime};

pub(crate) const TESTS: &[Test] = &[
    ("capabilities_and_filter_hold_for_start_and_exec", || {
        Box::pin(capabilities_and_filter())
    }),
    ("masked_and_readonly_paths", || Box::pin(masked())),
    ("user_groups_umask_and_directory", || Box::pin(user())),
    ("no_new_privileges_and_limits", || Box::pin(limits())),
    ("user_namespace_maps_root", || Box::pin(user_namespace())),
    ("sysctls_are_the_containers_own", || Box::pin(sysctls())),
    ("sysctls_of_the_machine_are_refused", || {
        Box::pin(sysctls_of_the_machine())
    }),
    ("sysctls_of_links_wait_for_the_links", || {
        Box::pin(link_sysctls())
    }),
    ("loopback_is_up", || Box::pin(loopback())),
];

async fn capabilities_and_filter() {
    let status = "grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status; mount -t tmpfs x /mnt || echo refused";
    let bundle = Bundle::new(&format!("{status}; echo >/tmp/said; sleep 1000"));
    let (stdio, out, err) = crate::bundle::pipes();
    let process = bundle.start(stdio).await;
    let exec = bundle.exec(&process, status).await;
    let wait = "while ! test -e /tmp/said; do sleep 0.01; done";
    bundle.exec(&process, wait).await;
    end(&process);
    let start = crate::bundle::read(out);
    drop(err);
    let expected = CapSet::from_names(&DEFAULT_CAPABILITIES).0.0;
    for text in [&start, &exec.stdout] {
        let field = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_else(|| panic!("{name}: {text}"));
            line.trim().to_owned()
        };
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(field(set), format!("{expected:016x}"), "{set}");
        }
        assert_eq!(field("CapInh:"), format!("{:016x}", 0));
        assert_eq!(field("Seccomp:"), "2");
        assert_eq!(field("NoNewPrivs:"), "0");
        assert!(text.ends_with("refused\n"), "{text}");
    }
    // Without the filter, and with all capabilities, the same mount is done: it was the confinement that refused.
    let mut privileged = Bundle::new("mount -t tmpfs x /mnt && echo done");
    privileged.process().capabilities = None;
    privileged.linux().seccomp = None;
    assert_eq!(privileged.run().await.stdout, "done\n");
}

async fn masked() {
    let script = "cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware | wc -l; \
                  echo 1 >/proc/sys/kernel/panic || echo read-only; touch /sys/x || echo read-only; \
                  touch /sys/fs/cgroup/x || echo read-only";
    let outcome = Bundle::new(script).run().await;
    assert_eq!(
        outcome.stdout, "0\n0\nread-only\nread-only\nread-only\n",
        "{}",
        outcome.stderr
    );
}

async fn user() {
    let mut bundle = Bundle::new(
        "id -u; id -G; cat /proc/self/status | grep CapEff; umask; pwd; echo $HOME; echo x >/dev/stderr",
    );
    bundle.process().user.uid = 1000;
    bundle.process().user.gid = 1001;
    bundle.process().user.additional_gids = vec![44, 45];
    bundle.process().user.umask = Some(0o027);
    bundle.process().cwd = "/made/for/it".to_owned();
    let outcome = bundle.run().await;
    assert_eq!(
        outcome.stdout,
        "1000\n1001 44 45\nCapEff:\t0000000000000000\n0027\n/made/for/it\n/home/app\n",
        "{}",
        outcome.stderr
    );
    // The pipe was given to the user: opening it again works.
    assert_eq!(outcome.stderr, "x\n");
}

async fn limits() {
    let mut bundle =
        Bundle::new("ulimit -n; grep NoNewPrivs /proc/self/status; cat /proc/self/oom_score_adj");
    bundle.process().no_new_privileges = true;
    bundle.process().rlimits = vec![Rlimit {
        kind: "RLIMIT_NOFILE".to_owned(),
        soft: 100,
        hard: 200,
    }];
    bundle.process().oom_score_adj = Some(500);
    let before = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let outcome = bundle.run().await;
    assert_eq!(
        outcome.stdout, "100\nNoNewPrivs:\t1\n500\n",
        "{}",
        outcome.stderr
    );
    assert_eq!(
        fs::read_to_string("/proc/self/oom_score_adj").unwrap(),
        before,
        "the engine's own is as it was"
    );
    bundle.process().rlimits[0].kind = "RLIMIT_NOPE".to_owned();
    let mut process = bundle.create(Stdio::Null).await.unwrap();
    let error = runtime::Runtime::start(&crate::bundle::runtime(), &mut process)
        .await
        .unwrap_err();
    assert_eq!(error.message, "set RLIMIT_NOPE to 100:200: unknown limit");
    process.pidfd.wait().unwrap();
}

async fn user_namespace() {
    let mut bundle = Bundle::new(
        "id -u; echo x >/dev/null && echo null; touch /tmp/file || echo no; sleep 1000",
    );
    let map = IdMapping {
        container_id: 0,
        host_id: 100_000,
        size: 65_536,
    };
    bundle
        .linux()
        .namespaces
        .push(Namespace::new(NamespaceType::User));
    bundle.linux().uid_mappings = vec![map];
    bundle.linux().gid_mappings = vec![map];
    let (stdio, out, err) = crate::bundle::pipes();
    let process = bundle.start(stdio).await;
    let exec = bundle
        .exec(
            &process,
            "id -u; cat /proc/self/uid_map; cat /proc/self/status | grep Seccomp:",
        )
        .await;
    let lines: Vec<&str> = exec.stdout.split_whitespace().collect();
    assert_eq!(
        lines,
        ["0", "0", "100000", "65536", "Seccomp:", "2"],
        "{}",
        exec.stderr
    );
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    assert!(
        status.contains("Uid:\t100000\t100000\t100000\t100000"),
        "{status}"
    );
    end(&process);
    // The root file system is the host's root's: not this user's to write.
    assert_eq!(
        crate::bundle::read(out),
        "0\nnull\nno\n",
        "{}",
        crate::bundle::read(err)
    );
}

async fn sysctls() {
    let mut bundle =
        Bundle::new("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced");
    bundle.linux().sysctl = [
        ("net.ipv4.ip_forward", "1"),
        ("kernel.shm_rmid_forced", "1"),
    ]
    .map(|(n, v)| (n.to_owned(), v.to_owned()))
    .into();
    let before = fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").unwrap();
    assert_eq!(bundle.run().await.stdout, "1\n1\n");
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/shm_rmid_forced").unwrap(),
        before
    );
}

/// Whether the container shares a namespace with the machine itself, or joins it by the process of another.
async fn sysctls_of_the_machine() {
    use NamespaceType::{Ipc, Network, Uts};
    // The values are what a machine has anyway, should one not be refused.
    let asking = |name: &str, value: &str| {
        let mut bundle = Bundle::new("true");
        bundle.spec.hostname.clear();
        bundle.linux().sysctl = [(name.to_owned(), value.to_owned())].into();
        bundle
    };
    for (kind, file, name, value) in [
        (Network, "net", "net.ipv4.ip_default_ttl", "64"),
        (Ipc, "ipc", "kernel.shm_rmid_forced", "0"),
        (Uts, "uts", "kernel.domainname", "(none)"),
    ] {
        let words = format!("sysctl \"{name}\" not allowed in host {file} namespace");
        for joins in [false, true] {
            let mut bundle = asking(name, value);
            let namespaces = &mut bundle.linux().namespaces;
            namespaces.retain(|namespace| namespace.kind != kind);
            if joins {
                let path = format!("/proc/{}/ns/{file}", std::process::id());
                namespaces.push(Namespace::join(kind, path));
            }
            let error = bundle.create(Stdio::Null).await.unwrap_err();
            assert_eq!(error.message, words, "joins: {joins}");
        }
    }
    for (name, value) in [("vm.swappiness", "60"), ("kernel.core_pattern", "core")] {
        let error = asking(name, value).create(Stdio::Null).await.unwrap_err();
        let words = format!("sysctl \"{name}\" is not in a separate kernel namespace");
        assert_eq!(error.message, words);
    }
}

/// The engine makes links between create and start.
async fn link_sysctls() {
    let parameter = |link: &str| format!("/proc/sys/net/ipv6/conf/{link}/disable_ipv6");
    let mut bundle = Bundle::new(&format!("cat {} {}", parameter("one"), parameter("two")));
    bundle.linux().sysctl = [
        ("net.ipv6.conf.all.disable_ipv6", "0"),
        ("net.ipv6.conf.two.disable_ipv6", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let (stdio, out, err) = crate::bundle::pipes();
    let mut process = bundle.create(stdio).await.unwrap();
    let netns = netns_of(process.pid).unwrap();
    in_netns(netns.as_fd(), || {
        let mut netlink = Rtnetlink::open().unwrap();
        for name in ["one", "two"] {
            let link = NewLink::new(name, LinkKind::Bridge(BridgeOptions::default()));
            netlink.create_link(&link).unwrap();
        }
        fs::write("/proc/sys/net/ipv6/conf/one/disable_ipv6", "1").unwrap();
    })
    .unwrap();
    runtime().start(&mut process).await.unwrap();
    assert_eq!(
        crate::bundle::read(out),
        "0\n1\n",
        "{}",
        crate::bundle::read(err)
    );
}

async fn loopback() {
    let outcome = Bundle::new("cat /sys/class/net/lo/flags").run().await;
    let flags = u32::from_str_radix(outcome.stdout.trim().trim_start_matches("0x"), 16).unwrap();
    assert_eq!(flags & 1, 1, "IFF_UP");
}
