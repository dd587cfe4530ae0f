//! Commands from the outside: what they print where, and how they end.

use crate::support::project::Project;
use crate::support::test_app::repository;

const BROKEN: &str = "auth: { token: $.headers.x_token, secret: { env: SENSORS_TOKEN } }
writ: { insert: sensor_log, set: { raw: $.body } }
";

fn economic() -> Project {
    let text = std::fs::read_to_string(repository("routes.d/economic.yaml")).expect("the shipped route file");
    let text = text.split("onboarding:").next().expect("a text").to_owned();
    Project::new().file("routes.d/economic.yaml", &text).environment("ECONOMIC_APP_SECRET_TOKEN", "app-canary")
}

#[test]
fn check_ends_by_what_it_found() {
    let project = Project::with_sensors();
    let said = project.run(&["check"]);
    assert_eq!((said.code, said.data.as_str()), (0, "1 route file, no problems\n"), "{said:?}");
    project.write("routes.d/broken.yaml", BROKEN);
    let said = project.run(&["check"]);
    assert_eq!(said.code, 1, "{said:?}");
    for part in ["error[unknown-option]", "routes.d/broken.yaml:2:1", "^^^^", "did you mean `write`?", "2 route files, 1 error"] {
        assert!(said.data.contains(part), "{part} in {}", said.data);
    }
    assert_eq!(project.run(&["check", "routes.d/sensors.yaml"]).code, 0, "only that file counts");
    assert_eq!(project.run(&["check", "routes.d/broken.yaml"]).code, 1);
    assert_eq!(project.run(&["check", "routes.d"]).code, 1);
    let said = project.run(&["check", "nowhere.yaml"]);
    assert_eq!((said.code, said.data.as_str()), (2, ""), "{said:?}");
    assert!(said.notes.contains("cannot read `nowhere.yaml`"), "{said:?}");
}

#[test]
fn check_tells_machines_the_same() {
    let project = Project::new().file("routes.d/broken.yaml", BROKEN);
    let said = project.run(&["check", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&said.data).expect("JSON");
    assert_eq!((said.code, &report["errors"], &report["warnings"]), (1, &1.into(), &2.into()), "{report}");
    let codes: Vec<&str> =
        report["diagnostics"].as_array().into_iter().flatten().filter_map(|one| one["code"].as_str()).collect();
    assert!(codes.contains(&"unknown-option") && codes.contains(&"unset-secret"), "{codes:?}");
}

#[test]
fn check_compares_with_the_live_tables_at_the_places_in_the_file() {
    let route = |write: &str| format!("auth: {{ none: test }}\nlane: \"{{{{ body.id }}}}\"\nwrite:\n{write}");
    let made = route("  - { upsert: orders, key: { id: $.body.id }, set: { note: $.body.note } }\n");
    let project = Project::new().file("routes.d/in.yaml", &made);
    assert_eq!(project.run(&["tables", "--create"]).code, 0);
    assert_eq!(project.run(&["check", "--connect"]).code, 0);
    project.write(
        "routes.d/in.yaml",
        &route("  - { upsert: orders, key: { id: $.body.id }, set: { nte: $.body.note } }\n  - { insert: log, set: { id: $.body.id } }\n"),
    );
    assert_eq!(project.run(&["check"]).code, 0, "without `--connect` no database is looked at");
    let said = project.run(&["check", "--connect"]);
    assert_eq!(said.code, 1, "{said:?}");
    let parts = [
        "error[column-missing]: database `main`: table `orders` has no column `nte`; it has `note`, `id`",
        "routes.d/in.yaml:4:54",
        "error[table-missing]: database `main`: there is no table `log`; there is `orders`",
        "routes.d/in.yaml:5:15",
    ];
    for part in parts {
        assert!(said.data.contains(part), "{part} in {}", said.data);
    }
}

#[test]
fn check_in_the_folder_itself_and_of_one_file_that_borrows() {
    let project = Project::new()
        .file("routes.d/apis.yaml", "apis: { shop: { base: https://shop.example } }\n")
        .file("routes.d/in.yaml", "auth: { none: test }\nroutes:\n  - enrich: { order: { api: shop, get: /orders/1 } }\n    write: { insert: a, set: { b: $.order.c } }\n");
    let said = project.run(&["check", "./routes.d/in.yaml"]);
    assert_eq!((said.code, said.data.as_str()), (0, "1 route file, no problems\n"), "{said:?}");
}

#[test]
fn the_settings_say_where_they_come_from_and_keep_their_secrets() {
    let project = Project::new()
        .file("hooktable.yaml", "workers: 4\ndatabases:\n  erp: { url: \"sqlite://erp.db?key=canary\" }\n")
        .environment("HOOKTABLE_LISTEN", "127.0.0.1:9999")
        .environment("HOOKTABLE_MASTER_KEY", "canary");
    let shown = project.data_of(&["serve", "--print-config", "--admin-listen", "127.0.0.1:9998"]);
    let line = |name: &str| {
        let words =
            shown.lines().find(|line| line.starts_with(name)).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        words.unwrap_or_default()
    };
    assert_eq!(line("listen"), "listen 127.0.0.1:9999 the environment");
    assert_eq!(line("admin_listen"), "admin_listen 127.0.0.1:9998 a flag");
    assert_eq!(line("workers"), "workers 4 hooktable.yaml");
    assert_eq!(line("data"), "data data the default");
    assert!(!shown.contains("canary"), "{shown}");
    project.write("hooktable.yaml", "wrokers: 4\n");
    let said = project.run(&["serve", "--print-config"]);
    assert!(said.code == 2 && said.notes.contains("hooktable.yaml:1:1") && said.notes.contains("`workers`"), "{said:?}");
}

#[test]
fn a_key_is_shown_once_with_what_to_paste() {
    let project = economic();
    assert_eq!(project.run(&["tenants", "add", "acme"]).code, 0);
    let said = project.run(&["tenants", "add", "acme"]);
    assert!(said.code == 2 && said.notes.contains("there is a tenant `acme` already"), "{said:?}");
    let create = ["keys", "create", "--tenant", "acme", "--source", "economic", "--description", "their e-conomic"];
    let shown = project.data_of(&[create.as_slice(), &["--public-url", "https://hooks.example"]].concat());
    let key = shown.lines().next().expect("a key").to_owned();
    assert!(key.starts_with("htk_"), "{shown}");
    assert!(shown.contains(&format!("https://hooks.example/?APIKey={key}&APISource=eConomicOrder")), "{shown}");
    let list = project.data_of(&["keys", "list"]);
    assert!(list.contains("their e-conomic") && list.contains(&key[key.len() - 4..]) && !list.contains(&key), "{list}");
    assert_eq!(project.data_of(&["tenants", "list", "--format", "json"]).matches("\"acme\"").count(), 1);
    assert!(project.data_of(&["tenants", "add", "globex", "--format", "json"]).contains("\"name\": \"globex\""));
    for (wrong, hint) in [(["acm", "economic"], "did you mean `acme`?"), (["acme", "economc"], "did you mean `economic`?")] {
        let said = project.run(&["keys", "create", "--tenant", wrong[0], "--source", wrong[1], "--description", "x"]);
        assert!(said.code == 2 && said.notes.contains(hint), "{said:?}");
    }
    assert_eq!(project.run(&["keys", "revoke", "1"]).code, 0);
    assert_eq!(project.run(&["keys", "revoke", "7"]).code, 2);
}

#[test]
fn tables_prints_and_makes_only_what_is_missing() {
    let project = economic();
    let said = project.run(&["tables"]);
    assert!(said.code == 1 && said.data.contains("there is no table `jobs`"), "{said:?}");
    assert!(project.data_of(&["tables", "--ddl", "sqlite"]).contains("create table \"job_lines\""));
    assert_eq!(project.run(&["tables", "--create"]).code, 0);
    let said = project.run(&["tables"]);
    assert_eq!((said.code, said.data.as_str()), (0, ""), "{said:?}");
    assert_eq!(project.data_of(&["tables", "--ddl", "sqlite"]), "");
}

#[test]
fn tables_never_says_that_all_is_well_while_a_route_file_has_errors() {
    let project = economic();
    assert_eq!(project.run(&["tables", "--create"]).code, 0);
    project.write("routes.d/broken.yaml", "auth: { none: a test }\nwrite: { insert: }\n");
    let said = ["text", "json"].map(|format| project.run(&["tables", "--format", format]).code);
    assert_eq!(said, [1, 1]);
}

#[test]
fn nothing_to_compare_is_told_alike_in_text_and_in_json() {
    let project = Project::new();
    for (file, code) in [("auth: { none: a test }\nroutes:\n- { ignore: not ours }\n", 0), ("auth: {\n", 1)] {
        project.write("routes.d/log.yaml", file);
        let said = ["text", "json"].map(|format| project.run(&["tables", "--format", format]).code);
        assert_eq!(said, [code, code], "{file}");
    }
}

#[test]
fn a_command_without_a_state_says_so_and_makes_none() {
    let project = Project::new();
    let said = project.run(&["deliveries", "list"]);
    assert!(said.code == 2 && said.notes.contains("there is no state at `data/state.db`"), "{said:?}");
    assert!(!project.path("data").exists());
    assert_eq!(project.run(&["no-such-command"]).code, 2);
}
