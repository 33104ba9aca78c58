//! Templates that people use with docker, and what docker prints for them.

use serde_json::json;

use super::*;

fn render(template: &str) -> Result<String> {
    let value = json!({
        "Id": "abc", "Name": "/web", "State": { "Status": "running", "Pid": 7, "Running": true, "Paused": false, "Error": "" },
        "Mounts": [{ "Source": "/a", "RW": true }, { "Source": "/b", "RW": false }],
        "Config": {
            "Labels": { "io.rancher.os.scope": "system", "a": "b" }, "Cmd": ["sh", "-c"], "Env": null,
            "ExposedPorts": { "80/tcp": {} },
        },
        "HostConfig": {
            "CpuShares": 3, "Memory": 1048576, "LogConfig": { "Type": "json-file", "Config": {} },
        },
        "NetworkSettings": {
            "Ports": { "80/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "8080" }], "81/tcp": null },
            "Networks": { "bridge": { "IPAddress": "10.0.0.2" } },
        },
    });
    Template::parse(template)?.render(&value)
}

/// What each prints.
fn print_as(cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        assert_eq!(render(template).as_deref(), Ok(*expected), "{template}");
    }
}

#[test]
fn fields_are_found_by_go_s_names_and_by_json_s() {
    print_as(&[
        (
            "{{.Id}} {{ .State.Pid }} {{.ID}} {{.HostConfig.CPUShares}}",
            "abc 7 abc 3",
        ),
        ("{{.State.Running}}", "true"),
        (
            "{{.Config.Cmd}} {{.Config.Env}} {{.Config.Entrypoint}}",
            "[sh -c] [] []",
        ),
        ("{{.NetworkSettings.Networks.bridge.IPAddress}}", "10.0.0.2"),
        (
            "{{.Config.Labels.a}} {{.Config.Labels.nothing}}",
            "b <no value>",
        ),
        ("{{.Config.ExposedPorts}}", "map[80/tcp:{}]"),
        ("{{.HostConfig.LogConfig.Config}}", "map[]"),
        (
            "{{.NetworkSettings.Ports}}",
            "map[80/tcp:[{0.0.0.0 8080}] 81/tcp:[]]",
        ),
        (
            "{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}",
            "none",
        ),
        ("{{with .State.Health}}{{.Status}}{{end}}.", "."),
    ]);
}

#[test]
fn functions_of_go_and_docker() {
    print_as(&[
        ("{{json .Config.Cmd}}", "[\"sh\",\"-c\"]"),
        (
            "{{index .Config.Labels \"io.rancher.os.scope\"}}|{{index .Config.Labels \"x\"}}|",
            "system||",
        ),
        ("{{index .Config.Cmd 1}}", "-c"),
        (
            "{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}",
            "8080",
        ),
        (
            "{{(index .NetworkSettings.Ports \"80/tcp\" 0).HostPort}}",
            "8080",
        ),
        (
            "{{len .Mounts}} {{len .Name}} {{join .Config.Cmd \",\"}}",
            "2 4 sh,-c",
        ),
        (
            "{{upper .Name}} {{lower \"ABC\"}} {{title \"a bc\"}}",
            "/WEB abc A Bc",
        ),
        ("{{.Name | upper | printf \"%s!\"}}", "/WEB!"),
        ("{{range split \"a:b\" \":\"}}<{{.}}>{{end}}", "<a><b>"),
        (
            "{{slice .Name 1}} {{slice .Name 1 3}} {{truncate .Name 2}} [{{pad .Id 1 2}}]",
            "web we /w [ abc  ]",
        ),
        ("{{println .Id 1}}{{print 1 2 \"a\" 3}}", "abc 1\n1 2a3"),
        (
            "{{eq .State.Status \"running\"}} {{ne 1 2}} {{eq 1 2 3 1}} {{not .State.Paused}}",
            "true true true true",
        ),
        (
            "{{lt 1 2}} {{ge \"b\" \"a\"}} {{gt 1 1.5}} {{le 2 2}}",
            "true true false true",
        ),
        (
            "{{if and (eq .State.Status \"running\") (not .State.Paused)}}yes{{end}}",
            "yes",
        ),
        (
            "{{or .State.Error \"fine\"}} {{and .Id .Name}}",
            "fine /web",
        ),
        // `and` looks at no more than it has to.
        (
            "{{if and .State.Health .State.Health.Status}}x{{else}}y{{end}}",
            "y",
        ),
        (
            "{{eq .State.Error \"\"}} {{eq (index .Config.Labels \"x\") \"\"}}",
            "true true",
        ),
        ("{{html \"<a>\"}}", "&lt;a&gt;"),
    ]);
}

#[test]
fn blocks_variables_and_white_space() {
    print_as(&[
        ("{{range .Mounts}}{{.Source}}:{{end}}", "/a:/b:"),
        (
            "{{range $p, $c := .NetworkSettings.Ports}}{{$p}} -> {{if $c}}{{(index $c 0).HostPort}}{{else}}none{{end}};{{end}}",
            "80/tcp -> 8080;81/tcp -> none;",
        ),
        (
            "{{range $i, $m := .Mounts}}{{if $i}}, {{end}}{{$m.Source}} {{$.Id}}{{end}}",
            "/a abc, /b abc",
        ),
        (
            "{{range $key, $value := .Config.Labels}}{{$key}}={{$value}} {{end}}",
            "a=b io.rancher.os.scope=system ",
        ),
        ("{{range .Config.Env}}x{{else}}none{{end}}", "none"),
        (
            "{{range .Mounts}}{{if not .RW}}{{continue}}{{end}}{{.Source}}{{end}}",
            "/a",
        ),
        ("{{range .Mounts}}{{.Source}}{{break}}{{end}}", "/a"),
        (
            "{{if .State.Error}}bad{{else if .State.Paused}}paused{{else}}good{{end}}",
            "good",
        ),
        (
            "{{with .State}}{{.Pid}}{{end}} {{with $x := .Name}}{{$x}}{{end}}",
            "7 /web",
        ),
        ("{{$n := .Name}}{{$n = \"new\"}}{{$n}}", "new"),
        ("{{$n := 1}}{{range .Mounts}}{{$n = 2}}{{end}}{{$n}}", "2"),
        ("a \n {{- .Name -}} \n b", "a/webb"),
        ("{{- .Name -}}", "/web"),
        ("x{{/* a comment */}}y {{- /* and one */ -}} z", "xyz"),
        (
            "{{`raw \"text\"`}} {{\"a\\tb\\\"\"}}",
            "raw \"text\" a\tb\"",
        ),
        ("\\t stays", "\\t stays"),
    ]);
}

#[test]
fn printf_prints_as_go_does() {
    print_as(&[
        ("{{printf \"%s %d\" .Name .State.Pid}}", "/web 7"),
        (
            "{{printf \"%-6s|%6s|%06d|%+d|%x|%q|%v|%t|100%%\" .Id .Id 42 42 255 .Id .Config.Cmd true}}",
            "abc   |   abc|000042|+42|ff|\"abc\"|[sh -c]|true|100%",
        ),
        (
            "{{printf \"%.2f %5.1f %.2s\" 1.005 2.25 \"abc\"}}",
            "1.00   2.2 ab",
        ),
        (
            "{{printf \"%d\" .Name}} {{printf \"%s\"}} {{printf \"a\" 1}}",
            "%!d(string=/web) %!s(MISSING) a%!(EXTRA int=1)",
        ),
    ]);
}

#[test]
fn what_is_not_understood_is_named() {
    let error = |template: &str| render(template).unwrap_err();
    assert_eq!(
        error("{{.Nothing}}"),
        TemplateError::NoField("Nothing".to_owned())
    );
    assert_eq!(
        error("{{fly .Id}}"),
        TemplateError::Unknown("fly".to_owned())
    );
    assert_eq!(error("{{$x}}"), TemplateError::NoVariable("x".to_owned()));
    assert_eq!(
        error("{{template \"a\"}}"),
        TemplateError::NotHere("template".to_owned())
    );
    assert_eq!(error("{{.State}}"), TemplateError::Structure);
    assert_eq!(error("{{.Id"), TemplateError::Unclosed("action"));
    assert_eq!(error("{{if .Id}}x"), TemplateError::Unclosed("block"));
    assert_eq!(
        error("{{(len .Id}}"),
        TemplateError::Unclosed("parenthesis")
    );
    assert_eq!(
        error("{{end}}"),
        TemplateError::Unexpected("{{end}}".to_owned())
    );
    for deep in [
        "{{if .Id}}".repeat(1000),
        format!("{{{{{}}}}}", "(".repeat(1000)),
        "{{if .Id}}{{else if .Id}}".repeat(100),
    ] {
        assert_eq!(error(&deep), TemplateError::TooDeep);
    }
    for (template, words) in [
        ("{{index .Config.Cmd 5}}", "index out of range: 5"),
        (
            "{{(index (index .NetworkSettings.Ports \"82/tcp\") 0).HostPort}}",
            "index out of range: 0",
        ),
        ("{{.State.Health.Status}}", "nil pointer evaluating .Status"),
        ("{{.Config.Labels.x.y}}", "nil data; no entry for key \"x\""),
        ("{{.Name.x}}", "can't evaluate field x in type string"),
        ("{{eq .Name 1}}", "incompatible types for comparison"),
        ("{{len 3}}", "len of type int"),
        ("{{range .Name}}{{end}}", "can't iterate over a string"),
        ("{{.Name .Id}}", "can't give argument"),
        ("{{lower}}", "wrong number of args for lower"),
        ("{{printf \"%9999999d\" 1}}", "too wide"),
    ] {
        assert!(
            error(template).to_string().contains(words),
            "{template}: {}",
            error(template)
        );
    }
}
