//! The plan of services that were read from text, as configuration has them.

use super::*;
use config::{CommandLine, Source, load};

fn planned(text: &str) -> Plan {
    let source = Source {
        name: "os.yml",
        text,
    };
    let loaded = load(&[source], &CommandLine::default());
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    plan(&loaded.config.rancher.services, &loaded.config.rancher)
}

fn services(entries: &str) -> Plan {
    let indented: String = entries
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    planned(&format!("rancher:\n  services:\n{indented}"))
}

fn names(plan: &Plan) -> Vec<Vec<&str>> {
    plan.waves()
        .into_iter()
        .map(|wave| wave.into_iter().map(|step| step.name.as_str()).collect())
        .collect()
}

#[test]
fn labels_and_shared_parts_give_the_order() {
    let plan = services(
        "udev: {image: a, labels: {io.rancher.os.scope: system}}\n\
         network: {image: a, labels: {io.rancher.os.scope: system, io.rancher.os.after: udev}}\n\
         logs: {image: a, labels: {io.rancher.os.scope: system, io.rancher.os.before: \"network, ntp\"}}\n\
         ntp: {image: a, labels: [io.rancher.os.scope=system]}\n\
         docker: {image: a, labels: {io.rancher.os.scope: system, io.rancher.os.after: network}}\n\
         web: {image: a}\n\
         side: {image: a, net: 'container:web', labels: {io.rancher.os.scope: system}}\n\
         vol: {image: a, volumes_from: ['side:ro'], labels: {io.rancher.os.scope: system}}\n",
    );
    assert!(plan.problems.is_empty(), "{:?}", plan.problems);
    assert_eq!(
        names(&plan),
        [
            vec!["logs", "udev"],
            vec!["network", "ntp"],
            vec!["docker"],
            vec!["web"],
            vec!["side"],
            vec!["vol"]
        ]
    );
    let web = plan.steps.iter().find(|step| step.name == "web").unwrap();
    assert_eq!(web.scope, Scope::User);
}

#[test]
fn depends_on_orders_as_the_labels_do() {
    let plan = services(
        "c: {image: a, depends_on: [b, none]}\n\
         b: {image: a, depends_on: {a: {condition: service_healthy}}}\n\
         a: {image: a}\n\
         d: {image: a, depends_on: c}\n",
    );
    assert_eq!(names(&plan), [["a"], ["b"], ["c"], ["d"]]);
    let mut said = plan.problems.iter().map(ToString::to_string);
    assert!(said.any(|line| line.contains("depends_on names \"none\"")));
    let healthy = "rancher.services.b.depends_on.a: service_healthy: only its start is waited for";
    assert!(
        plan.problems
            .iter()
            .any(|problem| problem.to_string().ends_with(healthy)),
        "{:?}",
        plan.problems
    );
}

#[test]
fn a_cycle_is_located_and_all_still_start() {
    let plan = services(
        "a: {image: x, labels: {io.rancher.os.scope: system, io.rancher.os.after: b}}\n\
         b: {image: x, labels: {io.rancher.os.scope: system, io.rancher.os.after: a}}\n\
         c: {image: x, labels: {io.rancher.os.scope: system, io.rancher.os.after: b}}\n",
    );
    assert_eq!(plan.steps.len(), 3);
    assert_eq!(plan.problems.len(), 1);
    let report = plan.problems[0].to_string();
    assert!(
        report.starts_with("os.yml:3:5: error: rancher.services.a: "),
        "{report}"
    );
    assert!(report.contains("a after b after a"), "{report}");
}

#[test]
fn a_service_without_an_image_costs_only_itself() {
    let plan =
        services("a: {command: x}\nb: {image: x, labels: {io.rancher.os.after: \"a, nowhere\"}}\n");
    assert_eq!(
        plan.steps
            .iter()
            .map(|s| s.name.as_str())
            .collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!(plan.problems.len(), 2, "{:?}", plan.problems);
}

#[test]
fn the_hash_changes_with_the_definition_alone() {
    let hash = |text: &str| services(text).steps[0].hash().to_owned();
    let one = hash("a: {image: x, environment: {A: 1, B: 2}}");
    assert_eq!(one.len(), 64);
    assert_eq!(one, hash("a:\n  environment: [B=2, A=1]\n  image: x"));
    assert_ne!(one, hash("a: {image: x, environment: {A: 1, B: 3}}"));
}
