//! `hooktable test --hostile` from outside: what holds, what does not, and what cannot be done.

use std::fs;
use std::process::Command;

use serde_json::Value as Json;

const SCHEMA: &str = "create table items (id integer not null primary key, name text, seq text);
create table log (id text, what text);";
const ANSWER: &str = "{ get: https://shop.example/items/7, json: { name: Saw } }";

/// Tests a route file with one test and gives its variants by name: status and reason.
fn variants(route: &str, test: &str) -> (i32, Vec<(String, String, String)>) {
    variants_over(SCHEMA, route, test)
}

/// The same with other tables.
fn variants_over(schema: &str, route: &str, test: &str) -> (i32, Vec<(String, String, String)>) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("shop.yaml", route);
    write("schema.sql", schema);
    write("shop.test.yaml", &format!("schema: schema.sql\ntests:\n  - {test}\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_hooktable"));
    let command = command.current_dir(folder.path()).args(["test", "shop.yaml", "--hostile", "--format", "json"]);
    let output = command.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json: Json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let test = &json["tests"][0];
    assert_eq!(test["status"], "passed", "{text}");
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    let all = test["variants"].as_array().unwrap_or_else(|| panic!("no variants: {text:?}", text = json.to_string()));
    let all = all.iter().map(|one| (text(&one["name"]), text(&one["status"]), text(&one["reason"])));
    (output.status.code().unwrap_or(-1), all.collect())
}

/// Checks the variants whose name contains the word; the others must not fail.
fn check(route: &str, test: &str, expected: &[(&str, &str, &str)]) {
    let (code, found) = variants(route, test);
    for (word, status, reason) in expected {
        let one = found.iter().find(|(name, ..)| name.contains(word)).unwrap_or_else(|| panic!("no `{word}`: {found:?}"));
        assert!(one.1 == *status && one.2.contains(reason), "expected {status} {reason}, found {one:?}\n{route}");
    }
    let failed = |list: &[(&str, &str, &str)]| list.iter().any(|(_, status, _)| *status == "failed");
    assert_eq!(code, i32::from(failed(expected)), "{found:?}");
    for (name, status, reason) in &found {
        let is_expected = expected.iter().any(|(word, ..)| name.contains(word));
        assert!(is_expected || !matches!(status.as_str(), "failed" | "broken"), "{name}: {status} {reason}\n{route}");
    }
}

const UPSERT: &str = r#"
auth: { token: $.headers.x_token, secret: { env: TOKEN } }
apis: { shop: { base: https://shop.example } }
extract: { id: { from: $.body.id, as: integer } }
lane: "item/{{ id }}"
enrich: { item: "/items/{{ id }}" }
write: { upsert: items, key: { id: $.id }, set: { name: $.item.name } }
"#;

fn fetching() -> String {
    format!(
        "{{ name: kept, send: {{ json: {{ id: 7 }} }}, apis: [ {ANSWER} ], expect: {{ state: done, rows: {{ items: [ {{ id: 7, name: Saw }} ] }} }} }}"
    )
}

#[test]
fn what_is_right_holds_against_everything() {
    check(
        UPSERT,
        &fetching(),
        &[
            ("delivery again", "passed", ""),
            ("twice at once", "passed", ""),
            ("flipped", "passed", ""),
            ("stale", "not_applicable", "no `tolerance`"),
            ("older", "not_applicable", "has a `version`"),
            ("API call", "passed", ""),
            ("stalls", "passed", ""),
        ],
    );
}

#[test]
fn a_signed_body_is_changed_and_an_old_signature_sent() {
    let route = UPSERT.replace(
        "token: $.headers.x_token, secret: { env: TOKEN }",
        "signature: { at: $.headers.x_signature, signed: '{timestamp}.{body}', timestamp: { at: $.headers.x_time }, tolerance: 5m, algorithm: hmac-sha256, secret: { env: TOKEN } }",
    );
    check(&route, &fetching(), &[("flipped", "passed", ""), ("stale", "passed", "")]);
}

#[test]
fn a_key_that_differs_from_delivery_to_delivery_makes_two_rows() {
    let route = "auth: { token: $.headers.x_token, secret: { env: T } }\nwrite: { upsert: log, key: { id: $.delivery }, set: { what: $.body.what } }\n";
    let test = "{ name: kept, send: { json: { what: x } }, expect: { rows: { log: [ { what: x } ] } } }";
    let why = "must leave the rows of one";
    check(route, test, &[("delivery again", "failed", why), ("twice at once", "failed", why), ("stalls", "passed", "")]);
}

#[test]
fn rows_that_a_trigger_makes_count_like_all_others() {
    let trigger = "create trigger noted after update on items begin insert into log values (new.id, 'changed'); end;";
    let route = UPSERT.replace("name: $.item.name", "name: $.delivery");
    let test = fetching().replace(", name: Saw } ] }", " } ] }");
    let (code, found) = variants_over(&format!("{SCHEMA}\n{trigger}"), &route, &test);
    let again = found.iter().find(|(name, ..)| name.contains("delivery again")).expect("a variant");
    assert!(again.1 == "failed" && again.2.contains("must leave the rows of one") && code == 1, "{found:?}");
    check(&route, &test, &[("delivery again", "passed", "")]);
}

#[test]
fn a_test_whose_sender_waits_for_the_rows_passes_as_it_does_alone() {
    let test = fetching().replace("expect: { ", "expect: { status: 200, ");
    check(&format!("{UPSERT}reply: {{ wait: 3s }}\n"), &test, &[("delivery again", "passed", ""), ("API call", "passed", "")]);
}

#[test]
fn every_call_fails_in_turn_also_those_after_others() {
    let route = UPSERT
        .replace("write:", "  stock: \"/stock/{{ item.place }}\"\nwrite:")
        .replace("enrich: { item: \"/items/{{ id }}\" }", "enrich:\n  item: \"/items/{{ id }}\"");
    let answers = "{ get: https://shop.example/items/7, json: { name: Saw, place: 3 } }, { get: https://shop.example/stock/3, json: { left: 2 } }";
    let test = fetching().replace(ANSWER, answers);
    check(&route, &test, &[("API call", "passed", "")]);
    // one that is given up at once, behind one that is not, is found too
    let fragile = route.replace("base: https://shop.example", "base: https://shop.example, retry: { times: 0 }");
    check(&format!("{fragile}retry: {{ first: 10m, for: 1m }}\n"), &test, &[("API call", "failed", "must come to the same")]);
}

#[test]
fn what_is_inserted_without_an_id_is_a_warning_and_with_one_a_duplicate() {
    let route = "auth: { token: $.headers.x_token, secret: { env: T } }\nwrite: { insert: log, set: { what: $.body.what } }\n";
    let test = "{ name: kept, given: { log: [ { what: old } ] }, send: { json: { what: x, id: 1 } }, expect: { rows: { log: [ { what: old }, { what: x } ] } } }";
    let warned = [
        ("delivery again", "warning", "inserts again into `log`"),
        ("twice at once", "warning", "an `id:` that reads"),
        ("stalls", "passed", ""),
    ];
    check(route, test, &warned);
    check(&format!("{route}id: $.body.id\n"), test, &[("delivery again", "passed", ""), ("twice at once", "passed", "")]);
    let unique = "auth: { token: $.headers.x_token, secret: { env: T } }\nwrite: { insert: items, set: { id: $.body.id } }\n";
    let test = "{ name: kept, send: { json: { id: 1 } }, expect: { rows: { items: [ { id: 1 } ] } } }";
    check(unique, test, &[("delivery again", "warning", "cannot be inserted"), ("stalls", "passed", "")]);
}

#[test]
fn versions_that_are_compared_as_texts_are_found_out() {
    let route = |version: &str| {
        format!(
            "auth: {{ token: $.headers.x_token, secret: {{ env: T }} }}\nextract: {{ seq: $.body.meta.seq }}\nlane: \"{{{{ body.id }}}}\"\nversion: {version}\nwrite: {{ upsert: items, key: {{ id: $.body.id }}, set: {{ name: $.body.name, seq: $.seq }} }}\n"
        )
    };
    let test = "{ name: kept, send: { json: { id: 7, name: Saw, meta: { seq: \"10\" } } }, expect: { rows: { items: [ { id: 7, seq: \"10\" } ] } } }";
    check(&route("$.seq"), test, &[("older", "failed", "must change nothing")]);
    check(&route("{ from: $.seq, as: integer }"), test, &[("older", "passed", "")]);
    check(&route("\"{{ seq }}\""), test, &[("older", "not_applicable", "is computed")]);
}

#[test]
fn a_version_that_is_fetched_is_made_older_in_the_answer() {
    let route = UPSERT.replace("write: {", "version: $.item.updated\nwrite: {");
    let test = fetching().replace("{ name: Saw }", "{ name: Saw, updated: 2026-11-22T10:00:00Z }");
    check(&route, &test, &[("older", "passed", "")]);
}

#[test]
fn a_route_that_gives_up_at_the_first_failure_is_found_out() {
    let route = UPSERT.replace("base: https://shop.example", "base: https://shop.example, retry: { times: 0 }");
    let route = format!("{route}retry: {{ first: 10m, for: 1m }}\n");
    check(&route, &fetching(), &[("API call", "failed", "must come to the same")]);
}

#[test]
fn what_is_refused_or_a_handshake_has_only_the_variants_that_mean_something() {
    let refused = "{ name: refused, send: { json: { id: 7 }, auth: wrong }, expect: { status: 401 } }";
    let (code, found) = variants(UPSERT, refused);
    assert!(code == 0 && found.iter().all(|(_, status, _)| status == "not_applicable"), "{found:?}");
    let route = format!("{UPSERT}handshake: {{ when: body.challenge, reply: {{ text: $.body.challenge }} }}\n");
    let test = "{ name: echoed, send: { json: { challenge: c } }, expect: { answer: { text: c } } }";
    check(
        &route,
        test,
        &[("delivery again", "passed", ""), ("flipped", "passed", ""), ("API call", "not_applicable", "handshake")],
    );
}

#[test]
fn without_the_flag_nothing_is_done_and_junit_skips_what_does_not_apply() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("shop.yaml", UPSERT);
    write("schema.sql", SCHEMA);
    write("shop.test.yaml", &format!("schema: schema.sql\ntests:\n  - {}\n", fetching()));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hooktable"));
        let output = command.current_dir(folder.path()).args(["test", "shop.yaml"]).args(arguments).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = run(&["--format", "json"]);
    assert!(code == Some(0) && !text.contains("variants"), "{text}");
    let (code, text) = run(&["--hostile", "--format", "junit"]);
    assert!(code == Some(0) && text.contains("tests=\"8\" failures=\"0\" errors=\"0\""), "{text}");
    assert!(text.contains("kept: a flipped byte") && text.matches("<skipped").count() == 2, "{text}");
    let (code, text) = run(&["--hostile"]);
    assert!(code == Some(0) && text.contains("hostile: 5 passed, 0 failed, 0 warnings, 2 not applicable"), "{text}");
    assert!(!text.contains("stale"), "only --verbose tells what does not apply: {text}");
    let (_, text) = run(&["--hostile", "--verbose"]);
    assert!(text.contains("– a stale timestamp: not applicable, no request is too old"), "{text}");
}

#[test]
fn watching_runs_again_what_a_change_touches() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    for name in ["shop", "other"] {
        write(&format!("{name}.yaml"), &UPSERT.replace("auth:", &format!("receive: {{ path: /{name} }}\nauth:")));
        let test = fetching().replace("json: { name: Saw }", "file: saw.json").replace("kept", name);
        write(&format!("{name}.test.yaml"), &format!("schema: schema.sql\ntests:\n  - {test}\n"));
    }
    write("schema.sql", SCHEMA);
    write("saw.json", "{ \"name\": \"Saw\" }");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hooktable"));
    let command = command.current_dir(folder.path()).args(["test", ".", "--watch"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut until_quiet = || {
        let mut seen = String::new();
        for line in lines.by_ref() {
            let line = line.expect("a line");
            seen.push_str(&line);
            seen.push('\n');
            if line.starts_with("waiting for changes") {
                break;
            }
        }
        seen
    };
    let text = until_quiet();
    assert!(text.contains("2 passed") && !text.contains('\u{1b}'), "{text}");
    let route = fs::read_to_string(folder.path().join("shop.yaml")).expect("read");
    write("shop.yaml", &route.replace("name: $.item.name", "name: $.item.nam"));
    let text = until_quiet();
    assert!(text.contains("✗ shop") && !text.contains("other"), "only what changed: {text}");
    write("shop.yaml", &route.replace("lane:", "lanee:"));
    let text = until_quiet();
    assert!(text.contains("0 passed") && text.contains("1 problem"), "a broken file stops nothing: {text}");
    write("shop.yaml", &route);
    assert!(until_quiet().contains("✓ shop"), "mended");
    write("saw.json", "{ \"name\": \"Axe\" }");
    let text = until_quiet();
    assert!(text.contains("✗ shop") && text.contains("✗ other"), "a sample of both: {text}");
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
