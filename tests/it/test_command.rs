//! `hooktable test` from outside: the shipped tests pass, and tests that must fail say why.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const ROUTE: &str = r#"
receive: { path: / }
auth: { token: $.headers.x_token, secret: { env: TOKEN } }
apis: { shop: { base: https://shop.example } }
extract: { id: { from: $.body.id, as: integer } }
lane: "item/{{ id }}"
enrich: { item: "/items/{{ id }}" }
write: { upsert: items, key: { id: $.id }, set: { name: $.item.name, price: $.item.price } }
"#;
const SCHEMA: &str = "create table items (id integer not null primary key, name text, price decimal_text);";
const ANSWER: &str = "{ get: https://shop.example/items/7, json: { name: Saw, price: 12.50 } }";

/// A folder with one route file, its tables and these tests.
fn project(tests: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("shop.yaml", ROUTE);
    write("schema.sql", SCHEMA);
    write("shop.test.yaml", tests);
    folder
}

/// One test with the usual webhook and answer.
fn one(expect: &str) -> String {
    format!(
        "schema: schema.sql\ntests:\n  - name: an item is kept\n    send: {{ json: {{ id: 7 }} }}\n    apis: [ {ANSWER} ]\n    expect: {expect}\n"
    )
}

fn test_in(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hooktable"));
    command.current_dir(folder).arg("test").args(arguments).output().expect("the binary runs")
}

/// The exit code and everything that was said, with the time taken out.
fn said(output: &Output) -> (i32, String) {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), text)
}

fn check(tests: &str, code: i32, parts: &[&str]) {
    let folder = project(tests);
    let (found, text) = said(&test_in(folder.path(), &["shop.test.yaml"]));
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    assert_eq!(found, code, "{text}");
}

#[test]
fn the_shipped_tests_pass() {
    let (code, text) = said(&test_in(Path::new(env!("CARGO_MANIFEST_DIR")), &[]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("✓ a sent order becomes a job with its lines"), "{text}");
    assert!(text.contains(" passed, 0 failed"), "{text}");
}

#[test]
fn a_test_that_is_right_passes() {
    let rows = "{ items: [ { id: 7, name: Saw, price: 12.5 } ] }";
    check(
        &one(&format!("{{ status: 200, state: done, rows: {rows}, calls: 1 }}")),
        0,
        &["✓ an item is kept", "1 passed, 0 failed"],
    );
}

#[test]
fn a_wrong_row_is_shown_beside_the_expected_one() {
    let rows = "{ items: [ { id: 7, name: Saw, price: 13 } ] }";
    let parts = [
        "✗ an item is kept",
        "shop.test.yaml:3",
        "rows of `items`: 1 expected, 1 found",
        "- 7   Saw   13",
        "+ 7   Saw   12.50  differs in price",
        "answer: 200",
        "record: done after 1 attempt",
        "call: GET https://shop.example/items/7 → 200",
        "0 passed, 1 failed",
    ];
    check(&one(&format!("{{ rows: {rows} }}")), 1, &parts);
}

#[test]
fn a_missing_and_an_unexpected_row_are_told_apart() {
    let rows = "{ items: [ { id: 8, name: Axe, price: 1 } ] }";
    check(&one(&format!("{{ rows: {rows} }}")), 1, &["no such row", "not expected"]);
    check(&one("{ rows: { items: [] } }"), 1, &["0 expected, 1 found", "+ 7   Saw   12.50  not expected"]);
}

#[test]
fn a_wrong_status_state_reason_or_number_of_calls_is_named() {
    let parts = [
        "status: expected 202, found 200",
        "state: expected dead, found done",
        "reason: expected …late…, found none",
        "calls: expected 2, found 1",
    ];
    check(&one("{ status: 202, state: dead, reason: late, calls: 2 }"), 1, &parts);
}

#[test]
fn an_answer_that_is_not_recorded_is_named_with_the_nearest_one() {
    let tests = one("{ state: done }").replace("items/7,", "items/8,");
    check(
        &tests,
        1,
        &[
            "state: expected done, found dead",
            "no recorded answer for `GET https://shop.example/items/7`",
            "https://shop.example/items/8",
        ],
    );
}

#[test]
fn a_header_that_an_answer_requires_is_missed() {
    let tests = one("{ state: done }").replace("json: { name", "headers: { x_key: abc }, json: { name");
    check(&tests, 1, &["header `x-key` is not what the recorded one requires"]);
}

#[test]
fn broken_auth_is_refused() {
    let tests = one("{ status: 401, rows: { items: [] }, calls: 0 }");
    check(&tests.replace("json: { id: 7 } }", "json: { id: 7 }, auth: wrong }"), 0, &["1 passed"]);
    check(&tests.replace("json: { id: 7 } }", "json: { id: 7 }, auth: none }"), 0, &["1 passed"]);
    check(&tests, 1, &["status: expected 401, found 200"]);
}

#[test]
fn a_failing_provider_is_tried_again_without_waiting() {
    let tests = one("{ state: done, rows: { items: [ { id: 7, name: Saw } ] } }");
    let failing = "{ get: https://shop.example/items/7, status: 503 }";
    check(
        &tests.replace("apis: [ ", &format!("apis: [ {failing}, {failing}, {failing}, {failing}, {failing}, {failing}, ")),
        0,
        &["1 passed"],
    );
    let down = tests
        .replace(ANSWER, failing)
        .replace("{ state: done, rows: { items: [ { id: 7, name: Saw } ] } }", "{ state: dead, reason: given up after 3d }");
    check(&down, 0, &["1 passed"]);
}

#[test]
fn an_unknown_option_is_shown_at_its_place() {
    let tests = one("{ status: 200 }").replace("expect:", "expct:");
    check(&tests, 1, &["error[unknown-option]", "shop.test.yaml:6:5", "did you mean `expect`?", "0 passed, 0 failed"]);
}

#[test]
fn a_file_that_is_not_there_is_shown_at_its_place() {
    let tests = one("{ status: 200 }").replace("json: { name: Saw, price: 12.50 }", "file: samples/saw.json");
    check(&tests, 1, &["error[file-not-found]", "`samples/saw.json` does not exist", "shop.test.yaml:5:"]);
}

#[test]
fn what_cannot_be_meant_is_shown_at_its_place() {
    check(&one("{ }"), 1, &["the test expects nothing"]);
    check(&one("{ state: don }"), 1, &["did you mean `done`?"]);
    check(
        &one("{ status: 200 }").replace("https://shop.example/items/7", "/items/7"),
        1,
        &["expected a whole address; found `/items/7`"],
    );
    check(&one("{ status: 200 }").replace("json: { id: 7 }", "json: { id: 7 }, text: x"), 1, &["a request has one body"]);
}

#[test]
fn a_broken_script_or_an_unknown_table_is_named() {
    let folder = project(&one("{ status: 200 }"));
    fs::write(folder.path().join("schema.sql"), "create tabel items (id integer)").expect("written");
    let (code, text) = said(&test_in(folder.path(), &["shop.yaml"]));
    assert!(code == 1 && text.contains("the tables cannot be made") && text.contains("tabel"), "{code}: {text}");
    check(&one("{ rows: { itms: [] } }"), 1, &["no table `itms`", "`items`"]);
}

#[test]
fn a_route_file_with_errors_is_not_tested() {
    let folder = project(&one("{ status: 200 }"));
    fs::write(folder.path().join("shop.yaml"), ROUTE.replace("lane:", "lanee:")).expect("written");
    let (code, text) = said(&test_in(folder.path(), &["."]));
    assert!(code == 1 && text.contains("did you mean `lane`?"), "{code}: {text}");
}

#[test]
fn without_a_script_the_tables_are_those_that_the_routes_expect() {
    let tests = one("{ state: done, rows: { items: [ { id: 7, name: Saw, price: 12.50 } ] } }");
    check(&tests.replace("schema: schema.sql\n", ""), 0, &["1 passed"]);
}

#[test]
fn rows_that_are_given_belong_to_the_sender() {
    let tests = one("{ state: done, rows: { items: [ { id: 7, name: Saw }, { id: 8, name: Axe } ] } }");
    let given = "given: { items: [ { id: 7, name: Old }, { id: 8, name: Axe } ] }";
    check(&tests.replace("    expect:", &format!("    {given}\n    expect:")), 0, &["1 passed"]);
    let folder = project(
        &tests.replace("    send:", "    tenant: acme\n    send:").replace("    expect:", &format!("    {given}\n    expect:")),
    );
    let route = ROUTE.replace("receive:", "tenant: acme\nreceive:");
    fs::write(folder.path().join("shop.yaml"), route).expect("written");
    let schema = SCHEMA
        .replace("(id", "(tenant text not null, id")
        .replace(" primary key", "")
        .replace(");", ", primary key (tenant, id));");
    fs::write(folder.path().join("schema.sql"), schema).expect("written");
    let (code, text) = said(&test_in(folder.path(), &["shop.yaml"]));
    assert!(code == 0 && text.contains("1 passed"), "{code}: {text}");
}

#[test]
fn tests_are_chosen_by_name() {
    let folder = project(&one("{ status: 200 }"));
    for arguments in [["shop.yaml", "--only", "ITEM"], ["shop.yaml", "--", "kept"]] {
        let (code, text) = said(&test_in(folder.path(), &arguments));
        assert!(code == 0 && text.contains("1 passed"), "{code}: {text}");
    }
    let (code, text) = said(&test_in(folder.path(), &["shop.yaml", "--only", "nothing"]));
    assert!(code == 2 && text.contains("no test's name contains `nothing`"), "{code}: {text}");
}

#[test]
fn what_is_not_there_cannot_be_run() {
    let folder = project(&one("{ status: 200 }"));
    let (code, text) = said(&test_in(folder.path(), &["other.yaml"]));
    assert!(code == 2 && text.contains("`other.yaml`"), "{code}: {text}");
    fs::remove_file(folder.path().join("shop.yaml")).expect("removed");
    let (code, text) = said(&test_in(folder.path(), &["shop.test.yaml"]));
    assert!(code == 1 && text.contains("there is no route file"), "{code}: {text}");
}

#[test]
fn machines_get_json_and_junit() {
    let folder = project(&one("{ status: 202, rows: { items: [ { id: 7, name: \"<Saw & Axe>\" } ] } }"));
    let output = test_in(folder.path(), &["shop.yaml", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON on standard output");
    assert_eq!(json["tests"][0]["status"], "failed");
    assert_eq!(json["tests"][0]["mismatches"][0]["expected"], "202");
    assert_eq!(json["tests"][0]["mismatches"][1]["unexpected"][0]["name"], "Saw");
    assert_eq!(json["tests"][0]["calls"][0], "GET https://shop.example/items/7 → 200");
    let output = test_in(folder.path(), &["shop.yaml", "--format", "junit"]);
    let xml = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(xml.contains("tests=\"1\" failures=\"1\" errors=\"0\""), "{xml}");
    assert!(
        xml.contains("<failure message=\"status: expected 202, found 200\">") && xml.contains("&lt;Saw &amp; Axe&gt;"),
        "{xml}"
    );
    assert_eq!(output.status.code(), Some(1));
}

/// Tests a route file that keeps what it is told, with one sent body for each line of `tests`.
fn check_auth(head: &str, set: &str, tests: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("a.yaml", &format!("{head}write: {{ insert: log, shared: true, set: {{ what: {set} }} }}\n"));
    write("a.sql", "create table log (what text);");
    let tests: Vec<String> = tests.iter().map(|test| format!("  - {test}\n")).collect();
    write("a.test.yaml", &format!("schema: a.sql\ntests:\n{}", tests.concat()));
    let (code, text) = said(&test_in(folder.path(), &["a.test.yaml"]));
    assert_eq!(code, 0, "{head}{text}");
}

#[test]
fn every_kind_of_credential_is_added_and_broken() {
    let row = "expect: { status: 200, rows: { log: [ { what: x } ] } }";
    for auth in [
        "{ token: $.headers.x_token, secret: { env: A } }",
        "{ token: $.body.token, secret: { env: A } }",
        "{ basic: { user: hooks, secret: { env: A } } }",
        "{ ip: [203.0.113.0/24] }",
        "{ all: [ { ip: [\"2001:db8::/32\"] }, { token: $.query.token, secret: { env: A } } ] }",
        "{ any: [ { token: $.query.token, secret: { env: A } }, { token: $.headers.x_token, secret: { env: A } } ] }",
    ] {
        let send = |more: &str| format!("{{ json: {{ what: x }} {more} }}");
        check_auth(
            &format!("auth: {auth}\n"),
            "$.body.what",
            &[
                &format!("{{ name: the right one is added, send: {}, {row} }}", send("")),
                &format!("{{ name: a wrong one, send: {}, expect: {{ status: 401 }} }}", send(", auth: wrong")),
                &format!("{{ name: none, send: {}, expect: {{ status: 401 }} }}", send(", auth: none")),
            ],
        );
    }
}

#[test]
fn a_test_has_an_integration_of_its_own() {
    check_auth(
        "receive: { path: \"/in/a/:which\" }\nauth: { token: $.headers.x_token, secret: hook }\n\
         integration: { is: $.params.which, fields: { hook: { secret: true }, who: { label: Who } } }\n",
        "$.integration.who",
        &[
            "{ name: what the test says, tenant: acme, integration: { who: Acme }, send: { json: {} }, expect: { status: 200, rows: { log: [ { what: Acme } ] } } }",
            "{ name: what is made up, tenant: acme, send: { json: {} }, expect: { status: 200, rows: { log: [ { what: test-who } ] } } }",
            "{ name: another token, tenant: acme, send: { json: {}, auth: wrong }, expect: { status: 401 } }",
        ],
    );
    check_auth(
        "receive: { path: \"/in/a/:which\" }\nauth: { integration: $.params.which }\n",
        "$.tenant",
        &[
            "{ name: the id opens it, tenant: acme, send: { json: {} }, expect: { status: 200, rows: { log: [ { what: acme } ] } } }",
            "{ name: another id does not, tenant: acme, send: { json: {}, auth: wrong }, expect: { status: 401 } }",
        ],
    );
    check_auth(
        "receive: { path: \"/in/a/:which\" }\nauth: { integration: $.params.which }\n\
         integration: { is: $.params.which, fields: { who: { label: Who } } }\n",
        "$.integration.who",
        &[
            "{ name: the id opens it and finds it, tenant: acme, integration: { who: Acme }, send: { json: {} }, expect: { status: 200, rows: { log: [ { what: Acme } ] } } }",
            "{ name: another id does not, tenant: acme, send: { json: {}, auth: wrong }, expect: { status: 401 } }",
        ],
    );
    check_auth(
        "auth: { api_key: $.headers.x_key }\nintegration: { fields: { who: { label: Who, from: $.body.who } } }\n",
        "$.integration.who",
        &[
            "{ name: what comes along, tenant: acme, integration: { who: stored }, send: { json: { who: brought } }, expect: { rows: { log: [ { what: brought } ] } } }",
            "{ name: what is stored, tenant: acme, integration: { who: stored }, send: { json: {} }, expect: { rows: { log: [ { what: stored } ] } } }",
            "{ name: nothing at all, tenant: acme, send: { json: {} }, expect: { state: dead } }",
        ],
    );
    check_auth(
        "auth: { token: $.headers.x_token, secret: { env: A } }\nintegration: { where: { shop: $.body.shop }, fields: { shop: { label: Shop } } }\n",
        "$.tenant",
        &[
            "{ name: its shop, tenant: acme, integration: { shop: s1 }, send: { json: { shop: s1 } }, expect: { status: 200, rows: { log: [ { what: acme } ] } } }",
            "{ name: a shop of nobody, tenant: acme, integration: { shop: s1 }, send: { json: { shop: s2 } }, expect: { status: 200, state: dead } }",
        ],
    );
}

#[test]
fn a_file_with_texts_for_customers_can_be_tested_tried_and_explained() {
    let route = "auth: { none: a test }\nwrite: { insert: log, set: { what: \"{% include 'note.txt' %}\" } }\nonboarding: { template: hand.md, samples: a.http }\n";
    let tests = "tests:\n  - { name: a row, send: { json: {} }, expect: { state: done, rows: { log: [ { what: noted } ] } } }\n";
    let project = crate::support::project::Project::new().file("routes.d/a.yaml", route).file("routes.d/a.test.yaml", tests);
    let project = project.file("routes.d/a.http", "POST /in/a HTTP/1.1\n\n{}\n");
    std::fs::create_dir_all(project.path("templates")).expect("a folder");
    project.write("templates/note.txt", "noted");
    project.write("templates/hand.md", "{{ url }}");
    for command in [&["check"][..], &["test"], &["try", "routes.d/a.yaml"], &["explain", "routes.d/a.yaml"]] {
        let said = project.run(command);
        assert_eq!(said.code, 0, "{command:?}: {said:?}");
    }
}

#[test]
fn a_test_says_what_its_token_claims() {
    check_auth(
        "auth: { all: [ { jwt: { at: $.headers.authorization, keys: { url: \"https://issuer.example/jwks\" }, algorithms: [RS256], audience: us } }, { check: claims.ok } ] }\n",
        "$.claims.sub",
        &[
            "{ name: it may, send: { json: {}, claims: { sub: someone, ok: true } }, expect: { status: 200, rows: { log: [ { what: someone } ] } } }",
            "{ name: it may not, send: { json: {}, claims: { sub: someone } }, expect: { status: 401 } }",
            "{ name: another signature, send: { json: {}, claims: { ok: true }, auth: wrong }, expect: { status: 401 } }",
        ],
    );
}
