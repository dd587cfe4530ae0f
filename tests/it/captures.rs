//! Tests that send a captured request: what of it is sent, and what the test says instead.

use crate::support::project::Project;

const CAPTURE: &str = "POST /in/shop/hti_captured?topic=created&key=captured HTTP/1.1
Host: hooks.example
Content-Length: 999
Content-Type: application/json
X-Kind: order
X-Token: captured

{ \"id\": 18446744073709551617, \"token\": \"captured\" }
";

/// A route file with this `auth`, and these tests of it.
fn said(auth: &str, tests: &[&str]) -> (i32, String) {
    let write = "write: { insert: log, set: { id: { from: $.body.id, as: text }, kind: $.headers.x_kind, topic: $.query.topic, whose: $.tenant } }";
    let route = format!(
        "receive: {{ path: \"/in/shop/:integration\" }}\n{auth}\nintegration: {{ is: $.params.integration, fields: {{ hook: {{ secret: true }} }} }}\n{write}\n"
    );
    let tests: String = tests.iter().map(|test| format!("  - {test}\n")).collect();
    let project = Project::new()
        .file("routes.d/shop.yaml", &route)
        .file("routes.d/captured.http", CAPTURE)
        .file("routes.d/shop.test.yaml", &format!("tests:\n{tests}"));
    let said = project.run(&["test"]);
    (said.code, format!("{}{}", said.data, said.notes))
}

fn check(auth: &str, tests: &[&str]) {
    let (code, text) = said(auth, tests);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_captured_request_is_sent_to_the_customer_of_the_test_with_credentials_of_the_test() {
    for at in ["$.headers.x_token", "$.query.key", "$.body.token"] {
        check(
            &format!("auth: {{ token: {at}, secret: hook }}"),
            &[
                "{ name: as it came, tenant: acme, send: { file: captured.http }, expect: { status: 200, rows: { log: [ { id: '18446744073709551617', kind: order, topic: created, whose: acme } ] } } }",
                "{ name: with another topic, tenant: acme, send: { file: captured.http, query: { topic: paid }, headers: { x_kind: offer } }, expect: { rows: { log: [ { kind: offer, topic: paid } ] } } }",
                "{ name: wrong, tenant: acme, send: { file: captured.http, auth: wrong }, expect: { status: 401, rows: { log: [] } } }",
            ],
        );
    }
}

#[test]
fn without_credentials_those_of_the_capture_are_not_sent_either() {
    let none = [
        "{ name: none, tenant: acme, integration: { hook: captured }, send: { file: captured.http, auth: none }, expect: { status: 401, rows: { log: [] } } }",
    ];
    for at in ["$.headers.x_token", "$.query.key", "$.body.token"] {
        check(&format!("auth: {{ token: {at}, secret: hook }}"), &none);
    }
}

#[test]
fn a_capture_that_is_none_and_a_second_body_are_told() {
    let auth = "auth: { token: $.headers.x_token, secret: hook }";
    let (code, text) =
        said(auth, &["{ name: both, tenant: acme, send: { file: captured.http, json: {} }, expect: { status: 200 } }"]);
    assert!(code == 1 && text.contains("a request has one body"), "{text}");
    let (code, text) = said(auth, &["{ name: gone, tenant: acme, send: { file: nothing.http }, expect: { status: 200 } }"]);
    assert!(code == 1 && text.contains("file-not-found"), "{text}");
}

#[test]
fn a_file_is_tested_with_the_templates_of_its_folder() {
    let project = Project::new();
    std::fs::create_dir(project.path("templates")).expect("a folder");
    let project = project
        .file("routes.d/log.yaml", "auth: { none: a test }\nwrite: { insert: log, set: { line: \"{% include 'line.txt' %}\" } }\nonboarding: { template: \"text.{{ lang }}.md\" }\n")
        .file("templates/line.txt", "order {{ body.id }}")
        .file("templates/text.en.md", "Paste {{ url }}")
        .file("routes.d/log.test.yaml", "tests:\n  - { name: a line, send: { json: { id: 7 } }, expect: { status: 200, rows: { log: [ { line: order 7 } ] } } }\n");
    let said = project.run(&["test"]);
    assert_eq!(said.code, 0, "{said:?}");
}
