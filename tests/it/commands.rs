//! The integrator's commands from the outside: `schema`, `check --explain`, `check --format sarif`, `explain`, `try`, `new`.

use serde_json::Value as Json;

use crate::support::project::Project;
use crate::support::test_app::repository;

const BROKEN: &str = "auth: { none: test }\nwrit: { insert: log, set: { body: $.body } }\n";

/// The shipped e-conomic source with its tests, samples and schema.
fn economic() -> Project {
    let project = Project::new();
    let copy = |from: &str, to: &str| {
        let target = project.path(to);
        std::fs::create_dir_all(target.parent().expect("a folder")).expect("made");
        std::fs::copy(repository(from), target).expect(from);
    };
    copy("routes.d/economic.yaml", "routes.d/economic.yaml");
    copy("routes.d/economic.test.yaml", "routes.d/economic.test.yaml");
    copy("examples/timetracking/schema/sqlite.sql", "examples/timetracking/schema/sqlite.sql");
    for entry in std::fs::read_dir(repository("routes.d/samples")).expect("samples") {
        let name = entry.expect("a sample").file_name().to_string_lossy().into_owned();
        copy(&format!("routes.d/samples/{name}"), &format!("routes.d/samples/{name}"));
    }
    project
}

#[test]
fn the_schema_is_printed_for_each_kind_of_file() {
    let project = Project::new();
    for (arguments, option) in [
        (&["schema"][..], "routes"),
        (&["schema", "--for", "route"], "auth"),
        (&["schema", "--for", "test"], "tests"),
        (&["schema", "--for", "config"], "databases"),
    ] {
        let schema: Json = serde_json::from_str(&project.data_of(arguments)).expect("JSON");
        assert!(schema["$schema"].as_str().is_some_and(|version| version.contains("draft-07")), "{schema}");
        assert!(schema["properties"][option]["description"].is_string(), "{arguments:?}");
    }
}

#[test]
fn a_code_is_explained_as_it_was_copied() {
    let project = Project::new().file("routes.d/broken.yaml", BROKEN);
    let said = project.run(&["check"]);
    assert!(said.notes.contains("more about a code: hooktable check --explain unknown-option"), "{said:?}");
    for code in ["unknown-option", "error[unknown-option]", "error[unknown-option]:"] {
        let text = project.data_of(&["check", "--explain", code]);
        for part in ["unknown-option\n", "why it matters:", "the fix:", "wrong:", "right:", "    writ: { insert"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    let all = project.data_of(&["check", "--explain"]);
    assert!(all.contains("yaml-tab") && all.contains("overlapping-receive"), "{all}");
    let said = project.run(&["check", "--explain", "unknown-optin"]);
    assert!(said.code == 2 && said.notes.contains("did you mean `unknown-option`?"), "{said:?}");
    let object: Json =
        serde_json::from_str(&project.data_of(&["check", "--explain", "yaml-tab", "--format", "json"])).expect("JSON");
    assert_eq!(object["code"], "yaml-tab");
}

#[test]
fn sarif_has_a_result_at_its_place_and_a_rule_with_help() {
    let project = Project::new().file("routes.d/broken.yaml", BROKEN);
    let said = project.run(&["check", "--format", "sarif"]);
    let log: Json = serde_json::from_str(&said.data).expect("JSON");
    assert_eq!((said.code, &log["version"]), (1, &"2.1.0".into()));
    let of_code = |list: &Json, name: &str| {
        let found = list.as_array().into_iter().flatten().find(|one| one[name] == "unknown-option");
        found.cloned().expect("the misspelt option")
    };
    let result = of_code(&log["runs"][0]["results"], "ruleId");
    let rule = of_code(&log["runs"][0]["tool"]["driver"]["rules"], "id");
    assert_eq!(result["level"], "error");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "routes.d/broken.yaml");
    assert_eq!(place["region"], serde_json::json!({ "startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 5 }));
    assert!(
        rule["id"] == "unknown-option" && rule["help"]["markdown"].as_str().is_some_and(|help| help.contains("```yaml")),
        "{rule}"
    );
    let fine = Project::with_sensors().data_of(&["check", "--format", "sarif"]);
    assert_eq!(serde_json::from_str::<Json>(&fine).expect("JSON")["runs"][0]["results"], serde_json::json!([]));
}

#[test]
fn explain_fills_in_defaults_and_says_what_follows() {
    let project = economic();
    let text = project.data_of(&["explain", "routes.d/economic.yaml"]);
    for line in [
        "# source `economic`: POST /",
        "  max_body: 1MiB   # default",
        "    lane: [\"order/{{ old }}\", \"order/{{ order_no }}\"]",
        "  # lanes: a record is in `order/{{ old }}` and `order/{{ order_no }}` of one tenant, what is empty left out; it runs when it is the next in all of them",
        "      first: 5s   # default",
        "#   $.body.eConomicAPIKey",
        "#   create table \"jobs\" (",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} in {text}");
    }
    assert!(text.contains("#   insert or abort into \"jobs\""), "{text}");
    let one = project.data_of(&["explain", "routes.d/economic.yaml", "eConomicOrder"]);
    assert!(one.contains("#   create table \"jobs\" (") && !one.contains("create table \"quotes\""), "{one}");
    let said = project.run(&["explain", "routes.d/economic.yaml", "eConomicOrdr"]);
    assert!(said.code == 2 && said.notes.contains("did you mean `eConomicOrder`?"), "{said:?}");
}

#[test]
fn what_explain_prints_is_a_route_file_that_passes_the_same_tests() {
    let project = economic();
    let text = project.data_of(&["explain", "routes.d/economic.yaml"]);
    project.write("routes.d/economic.yaml", &text);
    let said = project.run(&["test"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(project.data_of(&["explain", "routes.d/economic.yaml"]).replace("   # default", ""), without_marks(&text));
}

/// The text explained again: what was filled in or taken over is written now.
fn without_marks(text: &str) -> String {
    text.replace("   # default", "").replace("   # from the file", "")
}

#[test]
fn every_example_of_the_reference_can_be_explained() {
    for entry in std::fs::read_dir(repository("docs/reference/examples")).expect("examples") {
        let path = entry.expect("an example").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        if text.starts_with("# ") {
            continue; // a test file or settings
        }
        let project = Project::new().file("routes.d/example.yaml", &text);
        let explained = project.data_of(&["explain", "routes.d/example.yaml"]);
        project.write("routes.d/example.yaml", &explained);
        let said = project.run(&["check"]);
        assert!(said.code == 0, "{}:\n{explained}\n{}", path.display(), said.data);
    }
}

#[test]
fn a_request_is_tried_step_by_step_and_nothing_is_written() {
    let project = economic();
    let text = project.data_of(&["try", "routes.d/economic.yaml", "--request", "economic-order", "--tenant", "globex"]);
    for part in [
        "source `economic`, tenant `globex`; auth `api_key` is not checked, secrets are stand-ins, nothing is written",
        "body: {\"eConomicAPIKey\":\"•••\",\"number\":\"20417\"}",
        "  number: \"20417\"",
        "lane: order/20417",
        "order: GET https://restapi.e-conomic.com/orders/sent/20417 → 200",
        "upsert jobs in `main`",
        "insert or abort into \"job_lines\"",
        "tenant = \"globex\", system = \"economic\", job_no = 20417, line_no = 3",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!project.path("data").exists(), "nothing is opened");
    let trial: Json = serde_json::from_str(&project.data_of(&["try", "routes.d/economic.yaml", "--json"])).expect("JSON");
    assert_eq!((&trial["tenant"], &trial["records"][0]["end"]["kind"]), (&"acme".into(), &"changes".into()));
}

#[test]
fn a_call_without_a_recorded_answer_is_listed() {
    let project = economic()
        .file("unknown.http", "POST /?APISource=eConomicOrder HTTP/1.1\n\n{\"eConomicAPIKey\":\"demo\",\"number\":\"99\"}\n");
    let text = project.data_of(&["try", "routes.d/economic.yaml", "--request", "unknown.http"]);
    assert!(text.contains("order: would call GET https://restapi.e-conomic.com/orders/drafts/99"), "{text}");
    assert!(text.contains("`--live`"), "{text}");
}

#[test]
fn a_request_that_fails_says_at_which_step_and_why() {
    let project = economic()
        .file("word.http", "POST /?APISource=eConomicOrder HTTP/1.1\n\n{\"eConomicAPIKey\":\"canary\",\"number\":\"x\"}\n");
    let said = project.run(&["try", "routes.d/economic.yaml", "--request", "word.http"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.data.contains("failed at admission: extract `order_no`") && !said.data.contains("canary"), "{said:?}");
    let said = project.file("other.http", "POST /elsewhere HTTP/1.1\n\n{}\n").run(&[
        "try",
        "routes.d/economic.yaml",
        "--request",
        "other.http",
    ]);
    assert!(said.code == 1 && said.data.contains("failed at receive: the path `/elsewhere` is not this source's"), "{said:?}");
    let said = economic().run(&["try", "routes.d/economic.yaml", "--request", "nothing.http"]);
    assert!(said.code == 2 && said.notes.contains("samples/economic-order.http"), "{said:?}");
    let broken = Project::new().file("routes.d/broken.yaml", BROKEN).run(&["try", "routes.d/broken.yaml", "--request", "-"]);
    assert!(broken.code == 1 && broken.notes.contains("error[unknown-option]"), "{broken:?}");
}

/// Whether what `new` wrote passes `check` (but for the secret that nobody set) and `test`.
fn assert_passes(project: &Project, name: &str) -> String {
    let route = format!("routes.d/{name}.yaml");
    let text = std::fs::read_to_string(project.path(&route)).expect("written");
    let check = project.run(&["check", &route]);
    assert_eq!(check.code, 0, "{text}\n{}", check.data);
    assert_eq!(
        check.data.matches("warning[").count(),
        check.data.matches("warning[unset-secret]").count(),
        "{text}\n{}",
        check.data
    );
    let test = project.run(&["test", &route]);
    assert_eq!(test.code, 0, "{text}\n{}{}", test.data, test.notes);
    text
}

#[test]
fn a_new_file_passes_as_it_is_and_none_is_overwritten() {
    let project = Project::new();
    project.data_of(&["new", "my-shop"]);
    assert_passes(&project, "my-shop");
    let said = project.run(&["new", "my-shop"]);
    assert!(said.code == 2 && said.notes.contains("`routes.d/my-shop.yaml` is there already"), "{said:?}");
    assert_eq!(project.run(&["new", "a b"]).code, 2);
}

#[test]
fn a_new_file_is_guessed_from_captures() {
    let captures: [(&str, &[&str], &[&str]); 5] = [
        (
            "wrapped",
            &[
                "POST /hooks/a HTTP/1.1\nX-Webhook-Token: canary\nX-Delivery-Id: 1\n\n{\"event\":\"user.created\",\"data\":{\"id\":7,\"fullName\":\"Holm\",\"bornOn\":\"1990-01-02\",\"createdAt\":\"2026-01-02T10:00:00Z\",\"tags\":[1]}}",
            ],
            &[
                "path: /hooks/a",
                "token: $.headers.x_webhook_token",
                "event: $.body.event",
                "id: $.headers.x_delivery_id",
                "full_name: $.body.data.fullName",
                "born_on: { from: $.body.data.bornOn, as: date }",
                "as: timestamp",
                "left out, as they are lists or objects: tags",
            ],
        ),
        (
            "bare",
            &["{\"id\":\"a-1\",\"type\":\"clocking\",\"amount\":12.50,\"token\":\"canary\"}"],
            &["key: { id: $.thing_id }", "amount: $.body.amount", "how does the sender prove who it is?"],
        ),
        (
            "two",
            &["{\"number\":1,\"name\":\"a\"}", "{\"number\":2,\"note\":null,\"yes\":true,\"order-id\":\"x: y\"}"],
            &["number: $.thing_id", "note: $.body.note", "\"$.body['order-id']\""],
        ),
        (
            "signed",
            &[
                "POST /in/signed HTTP/1.1\nX-Hub-Signature-256: sha256=canary\nX-Shop-Topic: orders\n\n{\"order\":{\"id\":1,\"total\":\"3\"}}",
            ],
            &["auth: { preset: github, secret: token }", "event: $.headers.x_shop_topic"],
        ),
        (
            "bearer",
            &["POST /in/bearer?q=1 HTTP/1.1\nAuthorization: Bearer canary\n\n{\"event\":{\"a\":1},\"id\":3}"],
            &["prefix: \"Bearer \""],
        ),
    ];
    for (name, texts, expected) in captures {
        let mut project = Project::new();
        let mut arguments: Vec<String> = vec!["new".into(), name.into(), "--from".into()];
        for (number, text) in texts.iter().enumerate() {
            project = project.file(&format!("capture-{number}"), text);
            arguments.push(format!("capture-{number}"));
        }
        project.data_of(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let text = assert_passes(&project, name);
        expected.iter().for_each(|part| assert!(text.contains(part), "{part} in {text}"));
        let tests = std::fs::read_to_string(project.path(&format!("routes.d/{name}.test.yaml"))).expect("written");
        assert!(!text.contains("canary") && !tests.contains("canary"), "{tests}");
    }
    let said = Project::new().file("list", "[1]").run(&["new", "x", "--from", "list"]);
    assert!(said.code == 2 && said.notes.contains("no JSON object"), "{said:?}");
}
