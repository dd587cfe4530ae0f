//! Signatures from the outside: `hooktable test` signs for every algorithm and preset, `check-signature` verifies saved requests, and
//! `explain` and `schema` show presets.

use hooktable::auth::preset::NAMES;
use serde_json::Value as Json;

use crate::support::project::Project;
use crate::support::test_app::repository;

const WRITE: &str = "write: { insert: log, set: { at: $.received_at } }\n";

fn tests(has_tolerance: bool, body: &str) -> String {
    let stale = format!("  - {{ name: too old, send: {{ {body}, auth: stale }}, expect: {{ status: 401 }} }}\n");
    format!(
        "tests:\n  - {{ name: right, send: {{ {body} }}, expect: {{ status: 200, state: done }} }}\n  \
         - {{ name: wrong, send: {{ {body}, auth: wrong }}, expect: {{ status: 401 }} }}\n  \
         - {{ name: without, send: {{ {body}, auth: none }}, expect: {{ status: 401 }} }}\n{}",
        if has_tolerance { &stale } else { "" }
    )
}

fn passes(files: Vec<(String, String, String)>) {
    let mut project = Project::new();
    for (name, route, tests) in &files {
        project = project.file(&format!("routes.d/{name}.yaml"), route).file(&format!("routes.d/{name}.test.yaml"), tests);
    }
    let said = project.run(&["test"]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn a_test_is_signed_with_every_algorithm() {
    let algorithms = [
        ("hmac-sha1", "hex"),
        ("hmac-sha256", "whsec"),
        ("hmac-sha384", "base64"),
        ("hmac-sha512", "utf8"),
        ("sha1", "utf8"),
        ("sha256", "hex"),
        ("ed25519", "pem"),
        ("ecdsa-p256-sha256", "jwk"),
        ("rsa-sha1", "pem"),
        ("rsa-sha256", "jwk"),
        ("rsa-sha512", "base64"),
    ];
    let file = |(algorithm, form): (&str, &str)| {
        let secret = if algorithm.starts_with("sha") { "{secret}" } else { "" };
        let route = format!(
            "auth:\n  signature:\n    at: $.headers.x_sig\n    algorithm: {algorithm}\n    secret: signing\n    encoding: base64url\n    \
             read: \"t={{timestamp}},v1={{signature}}\"\n    signed: \"{secret}{{timestamp}}.{{body}}\"\n    tolerance: 5m\n\
             secrets: {{ signing: {{ env: SIGNING, as: {form} }} }}\n{WRITE}"
        );
        (algorithm.to_owned(), route, tests(true, "json: { a: \"ø\" }"))
    };
    passes(algorithms.into_iter().map(file).collect());
}

#[test]
fn a_test_is_signed_for_every_preset() {
    let file = |name: &&str| {
        let body = match *name {
            "mailgun" => "json: { signature: { token: abc }, event-data: {} }",
            "clockodo" => "json: { event_name: a.b }",
            "twilio" => "text: \"b=2&a=1\", headers: { content_type: application/x-www-form-urlencoded }",
            _ => "json: { id: 1 }",
        };
        let has_tolerance =
            ["standard-webhooks", "svix", "stripe", "slack", "discord", "zoom", "hubspot", "linear"].contains(name);
        let route = format!("auth: {{ preset: {name}, secret: {{ env: X }} }}\n{WRITE}");
        ((*name).to_owned(), route, tests(has_tolerance, body))
    };
    passes(NAMES.iter().map(file).collect());
}

#[test]
fn a_test_is_signed_wherever_the_signature_stands() {
    let route = |auth: &str| format!("auth: {auth}\n{WRITE}");
    let in_query = "{ signature: { at: $.query.sig, algorithm: hmac-sha256, secret: { env: X }, timestamp: { at: $.query.ts, unit: iso }, signed: \"{timestamp}{body}\", tolerance: 1h } }";
    let each = "{ signature: { at: $.n.mac, algorithm: hmac-sha256, secret: { env: X }, signed: \"{$.n.id}\", each: { n: $.body.items } } }";
    let both = "{ all: [ { ip: [203.0.113.0/24] }, { preset: github, secret: { env: X } } ] }";
    passes(vec![
        ("query".into(), route(in_query), tests(true, "json: { id: 1 }")),
        ("each".into(), route(each), tests(false, "json: { items: [ { id: 1 }, { id: 2 } ] }")),
        ("both".into(), route(both), tests(false, "json: { id: 1 }")),
        ("json".into(), route("{ preset: twilio, secret: { env: X } }"), tests(false, "json: { id: 1 }")),
    ]);
}

#[test]
fn a_request_without_a_timestamp_cannot_be_stale() {
    let project = Project::new()
        .file("routes.d/a.yaml", &format!("auth: {{ preset: github, secret: {{ env: X }} }}\n{WRITE}"))
        .file("routes.d/a.test.yaml", "tests:\n  - { name: old, send: { json: {}, auth: stale }, expect: { status: 401 } }\n");
    let said = project.run(&["test"]);
    assert!(said.code == 1 && format!("{said:?}").contains("no signature with a `tolerance`"), "{said:?}");
}

/// A saved request as one of the vectors has it.
fn saved(preset: &str, change: impl Fn(String) -> String) -> (Project, String) {
    let text = std::fs::read_to_string(repository(&format!("tests/signatures/{preset}.json"))).expect("vectors");
    let vectors: Json = serde_json::from_str(&text).expect("JSON");
    let vector = &vectors["vectors"][0];
    let headers = vector["headers"].as_object().expect("headers").iter();
    let headers: String = headers.map(|(name, value)| format!("{name}: {}\r\n", value.as_str().expect("a text"))).collect();
    let body =
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, vector["body_base64"].as_str().expect("a body"));
    let body = String::from_utf8(body.expect("base64")).expect("a text");
    let request = change(format!("POST {} HTTP/1.1\r\n{headers}\r\n{body}\n", vector["target"].as_str().expect("a target")));
    let route = format!("auth: {{ preset: {preset}, secret: {{ env: HOOK }} }}\n{WRITE}");
    let project = Project::new().environment("HOOK", vectors["secret"].as_str().expect("a secret"));
    (project.file(&format!("routes.d/{preset}.yaml"), &route).file("request.http", &request), format!("routes.d/{preset}.yaml"))
}

#[test]
fn a_saved_request_is_verified_with_the_real_secret() {
    let at = ["--at", "2026-11-21T10:00:30Z"];
    for preset in ["stripe", "standard-webhooks", "square", "twilio", "linear", "discord", "clockodo"] {
        let (project, file) = saved(preset, |request| request);
        let said = project.run(&["check-signature", &file, "--request", "request.http", at[0], at[1]]);
        assert!(said.code == 0 && said.data.contains("passes"), "{preset}: {said:?}");
    }
    let (project, file) = saved("stripe", |request| request);
    let late = project.run(&["check-signature", &file, "--request", "request.http", "--at", "2026-11-21T10:06:52Z"]);
    assert!(late.code == 1 && late.data.contains("the clock is 412 s off"), "{late:?}");
    let (project, file) = saved("linear", |request| request.replace("\"action\":", "\"action\": "));
    let arguments = ["check-signature", &file, "--request", "request.http", "--format", "json", at[0], at[1]];
    let told: Json = serde_json::from_str(&project.run(&arguments).data).expect("JSON");
    assert_eq!((&told["passes"], &told["told"]), (&false.into(), &"the signature is absent or not valid".into()));
    assert!(told["findings"][0].as_str().is_some_and(|finding| finding.contains("JSON of the body")), "{told}");
    let wrong = project.run(&["check-signature", &file, "--request", "request.http", "--at", "noon"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}

#[test]
fn what_a_saved_request_does_not_show_is_told_by_flags() {
    let auth = "{ all: [ { ip: [203.0.113.0/24] }, { preset: gitlab, secret: hook } ] }";
    let set_up =
        "receive: { path: \"/in/a/:id\" }\nintegration: { is: $.params.id, fields: { hook: { label: Token, secret: true } } }\n";
    let project = Project::new()
        .environment("HOOK", "sesame")
        .file("routes.d/a.yaml", &format!("{set_up}auth: {auth}\n{WRITE}"))
        .file("request.http", "POST /in/a/1 HTTP/1.1\nX-Gitlab-Token: sesame\n\n{}\n");
    let run = |more: &[&str]| project.run(&[&["check-signature", "routes.d/a.yaml", "--request", "request.http"], more].concat());
    assert!(run(&["--field", "hook=HOOK"]).notes.contains("hint: `--from ADDRESS`"), "{:?}", run(&[]));
    assert!(run(&["--from", "203.0.113.9"]).data.contains("the secret is unknown"));
    assert_eq!(run(&["--from", "203.0.113.9", "--field", "hook=HOOK"]).code, 0);
    assert_eq!(run(&["--from", "192.0.2.1", "--field", "hook=HOOK"]).code, 1);
    assert_eq!(run(&["--field", "hook=NOTHING"]).code, 2);
}

#[test]
fn a_scheme_that_needs_a_server_is_not_guessed_at() {
    let project = Project::new()
        .file("routes.d/a.yaml", &format!("auth: {{ api_key: $.query.key }}\n{}", WRITE.replace("at:", "t:")))
        .file("request.http", "POST /in/a?key=x HTTP/1.1\n\n{}\n");
    let said = project.run(&["check-signature", "routes.d/a.yaml", "--request", "request.http"]);
    assert!(said.code == 2 && said.notes.contains("`api_key` cannot be verified here"), "{said:?}");
}

#[test]
fn a_captured_signature_becomes_its_preset() {
    for (preset, part) in
        [("stripe", "preset: stripe"), ("square", "preset: square"), ("standard-webhooks", "preset: standard-webhooks")]
    {
        let (project, _) = saved(preset, |request| request);
        project.run(&["new", "made", "--from", "request.http"]);
        let text = std::fs::read_to_string(project.path("routes.d/made.yaml")).expect("a route file");
        assert!(text.contains(part), "{text}");
        let said = project.run(&["test", "routes.d/made.test.yaml"]);
        assert_eq!(said.code, 0, "{preset}: {said:?}");
    }
}

#[test]
fn explain_shows_the_whole_scheme_of_a_preset() {
    let auth =
        "auth: { any: [ { preset: stripe, secret: { env: X }, tolerance: 10m }, { preset: gitlab, secret: { env: Y } } ] }\n";
    let project = Project::new().file("routes.d/a.yaml", &format!("{auth}{WRITE}"));
    let text = project.data_of(&["explain", "routes.d/a.yaml"]);
    for part in ["read: t={timestamp},v1={signature}", "tolerance: 10m", "token: $.headers.x_gitlab_token", "encoding: hex"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let again = Project::new().file("routes.d/a.yaml", &text);
    assert_eq!(again.data_of(&["explain", "routes.d/a.yaml"]), text.replace("   # default", ""), "what it prints means the same");
}

#[test]
fn the_schema_lists_the_presets() {
    let schema: Json = serde_json::from_str(&Project::new().data_of(&["schema"])).expect("JSON");
    let listed: Vec<&str> = schema["definitions"]["preset"]["properties"]["preset"]["enum"]
        .as_array()
        .expect("words")
        .iter()
        .filter_map(Json::as_str)
        .collect();
    assert_eq!(listed, NAMES);
}
