//! What a default container may do: the same in System Docker as in Docker on the same machine, line by line.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, alone, shared};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        shared(
            context,
            "rights_of_default_containers_are_dockers",
            both_dockers_agree,
        ),
        alone(context, "rights_of_default_containers_in_ram", in_ram),
    ]
}

/// Says on a line each what this container can do. `HOST` has the machine's namespaces. Nothing is written that is not the
/// container's own: files are opened and closed.
const PROBE: &str = r#"
can() { if "$@" >/dev/null 2>&1; then echo yes; else echo no; fi; }
grep -E "^(Cap|Seccomp:|NoNewPrivs|Groups)" /proc/self/status | sed "s/^/status /"
echo "apparmor $(cat /proc/self/attr/apparmor/current)"
for n in cgroup ipc mnt net pid user uts; do
  case " $HOST " in *" $(stat -L -c %i /proc/self/ns/$n) "*) echo "namespace $n host";; *) echo "namespace $n own";; esac
done
mkdir /tmp/d
for d in c:1:1 c:1:2 c:1:3 c:1:4 c:1:5 c:1:7 c:1:8 c:1:9 c:1:11 c:4:0 c:4:1 c:4:64 c:5:0 c:5:1 c:5:2 c:5:3 c:7:1 \
  c:10:1 c:10:144 c:10:183 c:10:200 c:10:228 c:10:229 c:10:232 c:10:235 c:10:237 c:13:63 c:21:0 c:29:0 c:108:0 \
  c:136:0 c:180:0 c:189:0 c:226:0 c:247:0 c:254:0 b:1:0 b:2:0 b:7:0 b:8:0 b:11:0 b:252:0 b:253:0 b:254:0 b:259:0; do
  IFS=:; set -- $d; unset IFS
  mknod /tmp/d/n $1 $2 $3 2>/dev/null && made=makes || made=no-node
  for way in "<" ">>"; do
    why=$(timeout 5 sh -c "exec 3$way/tmp/d/n" 2>&1)
    case "$why" in *"not permitted"*) echo "device $d $made $way refused";; *) echo "device $d $made $way open";; esac
  done
  rm -f /tmp/d/n
done
for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward /proc/sys/vm/drop_caches \
  /proc/sys/fs/mqueue/msg_max /proc/sys/kernel/shmmax /proc/sys/kernel/ns_last_pid /proc/sysrq-trigger /proc/irq/default_smp_affinity \
  /proc/mtrr /proc/timer_list /proc/keys /proc/kcore /proc/interrupts /proc/self/oom_score_adj /proc/self/attr/apparmor/exec \
  /proc/1/mem /proc/1/environ /sys/power/state /sys/kernel/uevent_helper /sys/kernel/mm/ksm/run /sys/module/kernel/parameters/panic \
  /sys/class/net/lo/mtu /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/memory.max /etc/hosts /etc/hostname /etc/resolv.conf; do
  echo "write $f $(can sh -c ": >>$f")"
done
for f in /proc/kcore /proc/keys /proc/key-users /proc/timer_list /proc/interrupts /proc/sched_debug /proc/latency_stats \
  /proc/kallsyms /proc/slabinfo /proc/iomem /proc/kmsg /proc/kpagecount /proc/config.gz /proc/vmallocinfo /proc/1/environ /proc/1/maps \
  /sys/kernel/notes /sys/kernel/vmcoreinfo /sys/kernel/btf/vmlinux /dev/kmsg /dev/mem; do
  echo "read $f $(timeout 5 head -c 1 $f 2>/dev/null | wc -c)"
done
for d in /proc/acpi /proc/asound /proc/scsi /sys/firmware /sys/devices/virtual/powercap /sys/kernel/debug /sys/kernel/tracing \
  /sys/kernel/security /sys/fs/bpf /sys/fs/pstore; do echo "list $d $(ls $d 2>/dev/null | wc -l)"; done
mkdir /tmp/m
echo "call mount $(can mount -t tmpfs none /tmp/m)"
echo "call mount-proc $(can mount -t proc none /tmp/m)"
echo "call bind $(can mount -o bind /etc /tmp/m)"
echo "call remount $(can mount -o remount,rw /sys)"
echo "call umount $(can umount /sys/firmware)"
for n in -m -u -i -n -p -U; do echo "call unshare$n $(can unshare $n true)"; done
echo "call chroot $(can chroot / true)"
echo "call pivot_root $(can pivot_root / /tmp/m)"
echo "call sethostname $(can hostname probe)"
echo "call settime $(can date -s 2020-01-01)"
echo "call dmesg $(can dmesg)"
echo "call swapon $(can swapon /tmp/d)"
echo "call nice $(can nice -n -5 true)"
echo "call chown $(can chown 1:1 /tmp/d)"
echo "call link-add $(can ip link add dummy7 type dummy)"
echo "call link-down $(can ip link set lo down)"
echo "call route $(can ip route add blackhole 203.0.113.0/24)"
echo "call ping $(can ping -c 1 -W 2 127.0.0.1)"
echo "call low-port $(can timeout 1 sh -c 'nc -l -p 80 </dev/null & sleep 0.3; kill -0 $!')"
echo "call insmod $(can insmod /etc/passwd)"
echo "call rlimit $(can sh -c 'ulimit -H -c 1 && ulimit -H -c 2')"
echo "call setuid $(can su -s /bin/true daemon)"
echo "limits $(ulimit -n) $(ulimit -c) $(ulimit -l) $(ulimit -u)"
cut -d " " -f 5,6 /proc/self/mountinfo | grep -v "^/ " | sed "s/^/mount /"
grep -v " /proc/interrupts " /proc/self/mountinfo | sed "s/^.* - //" | cut -d " " -f 1 | sort | uniq -c | sed "s/^ */kinds /"
ls /dev | sed "s/^/dev /"
ls -l /proc/self/fd | sed -n "s/.* \([0-9]*\) -> .*/descriptor \1/p"
"#;

/// Lines that are not the same, and why.
const DIFFERENT: &[(&str, &str)] = &[
    (
        "device c:5:1 ",
        "the machine's console is not a container's to read and write",
    ),
    (
        "read /proc/interrupts",
        "masked, as later Dockers do: keystrokes can be timed with it",
    ),
    ("mount /proc/interrupts", "as before"),
];

fn both_dockers_agree(guest: &Guest) -> anyhow::Result<()> {
    guest.run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)?;
    guest.run("docker tag busybox rights && docker save rights | system-docker load -q")?;
    let host = guest.run(
        "for n in cgroup ipc mnt net pid user uts; do sudo stat -L -c %i /proc/1/ns/$n; done",
    )?;
    let host = host.split_whitespace().collect::<Vec<_>>().join(" ");
    let ask = |docker: &str| -> anyhow::Result<BTreeSet<String>> {
        let text = guest.run(&format!(
            "{docker} run --rm -e HOST='{host}' rights sh -c '{}'",
            PROBE.replace('\'', r"'\''")
        ))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let (ours, dockers) = (ask("system-docker")?, ask("docker")?);
    ensure!(ours.len() > 100, "the probe said little: {ours:?}");
    let known = |line: &&String| DIFFERENT.iter().any(|(start, _)| line.starts_with(start));
    let more: Vec<_> = ours
        .difference(&dockers)
        .filter(|line| !known(line))
        .collect();
    let less: Vec<_> = dockers
        .difference(&ours)
        .filter(|line| !known(line))
        .collect();
    ensure!(
        more.is_empty() && less.is_empty(),
        "System Docker alone: {more:#?}\nDocker alone: {less:#?}"
    );
    for (start, why) in DIFFERENT {
        let differs = ours
            .symmetric_difference(&dockers)
            .any(|line| line.starts_with(start));
        ensure!(differs, "{start} is the same by now: {why}");
    }
    Ok(())
}

fn in_ram(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("rights", Boot::Kernel)
        .in_ram()
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    both_dockers_agree(&guest)?;
    guest.check()
}
