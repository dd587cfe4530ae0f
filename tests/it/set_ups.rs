//! Setting up tenants from the outside: integrations, keys, users, the master key, and what a customer is handed.

use serde_json::Value as Json;

use crate::secrets::assert_absent;
use crate::support::project::{Project, request, until};
use crate::support::test_app::repository;

const SHOP: &str = "title: Shop
receive: { path: \"/in/shop/:integration\" }
auth: { integration: $.params.integration }
integration:
  is: $.params.integration
  fields:
    user: { label: API user }
    key: { label: { en: API key, da: API-nøgle }, help: From Settings → API, secret: true }
    note: { required: false }
write: { insert: log, set: { raw: $.body, user_name: $.integration.user } }
";
const WHERE: &str = "receive: { path: /in/stores }
auth: { none: a test }
integration:
  where: { shop: $.body.shop }
  fields: { shop: { label: Shop domain } }
write: { insert: log, set: { raw: $.body } }
";
const KEY: &str = "shop-key-canary-5521";

fn project() -> Project {
    let project = Project::new().file("routes.d/shop.yaml", SHOP).environment("SHOP_KEY", KEY);
    project.data_of(&["tables", "--create"]);
    project.data_of(&["tenants", "add", "acme"]);
    project.data_of(&["tenants", "add", "globex"]);
    project
}

fn json(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn economic() -> Project {
    let route = std::fs::read_to_string(repository("routes.d/economic.yaml")).expect("the shipped route file");
    let project = Project::new()
        .file("routes.d/economic.yaml", route.split("  samples:").next().expect("a text"))
        .environment("ECONOMIC_APP_SECRET_TOKEN", "app-canary");
    project.data_of(&["tenants", "add", "acme"]);
    project
}

const CREATE: [&str; 9] =
    ["keys", "create", "--tenant", "acme", "--source", "economic", "--description", "the agreement", "--public-url"];

/// The path of the one URL that was printed.
fn path_in(said: &str) -> String {
    let url = said.lines().find_map(|line| line.strip_prefix("POST http://127.0.0.1:8080")).expect(said);
    url.to_owned()
}

#[test]
fn an_integration_is_added_used_rotated_and_revoked_while_the_server_runs() {
    let project = project();
    let server = project.serve_with(&["--public-url", "http://127.0.0.1:8080"]);
    let add = ["integrations", "add", "acme", "shop", "--description", "till 3", "--set", "user=ann", "--secret", "key"];
    let said = project.run_with_input(&add, &format!("{KEY}\n"));
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.notes.contains("added integration 1 of `acme` for `shop`"), "{said:?}");
    let path = path_in(&said.data);
    assert!(path.starts_with("/in/shop/hti_") && said.data.contains("user") && said.data.contains("••• since"), "{said:?}");
    let post = |path: &str| request(&server.intake, "POST", path, &[], "{}").status;
    assert_eq!(post(&path), 200);
    until(|| project.rows("log").len() == 1, || server.said());
    let row = &project.rows("log")[0];
    assert_eq!((&row["tenant"], &row["user_name"]), (&"acme".into(), &"ann".into()));

    let rotated = project.data_of(&["integrations", "rotate", "1"]);
    assert_eq!((post(&path), post(&path_in(&rotated))), (401, 200));
    let set = ["integrations", "set", "1", "--set", "note=x", "--set", "user=bob", "--secret-env", "key=SHOP_KEY"];
    let changed = project.data_of(&[&set[..], &["--format", "json"]].concat());
    assert_eq!(json(&changed)["fields"], serde_json::json!({ "note": "x", "user": "bob" }));
    project.data_of(&["integrations", "set", "1", "--unset", "note"]);
    let listed = project.data_of(&["integrations", "list", "--tenant", "acme"]);
    assert!(listed.contains("user=bob key=•••") && !listed.contains("note"), "{listed}");
    assert_eq!(json(&project.data_of(&["integrations", "list", "--source", "other", "--format", "json"])), serde_json::json!([]));
    let revoked = project.run(&["integrations", "revoke", "1"]);
    assert!(revoked.code == 0 && revoked.notes.contains("revoked integration 1"), "{revoked:?}");
    assert_eq!(post(&path_in(&rotated)), 401);
    let (code, log) = server.terminate();
    assert_eq!(code, 0, "{log}");
    let shown = project.data_of(&["integrations", "show", "1", "--format", "json"]);
    assert!(json(&shown)["last_used_at"].is_string(), "{shown}");
    for text in [&log, &said.data, &rotated, &changed, &listed, &shown] {
        assert_absent(text.as_bytes(), &[KEY], "what is said");
    }
    assert!(!log.contains("hti_"), "{log}");
}

#[test]
fn what_is_wrong_with_the_fields_is_said_with_what_was_expected() {
    let project = project().file("routes.d/stores.yaml", WHERE);
    let refused = |arguments: &[&str], input: &str, parts: &[&str]| {
        let said = project.run_with_input(arguments, input);
        assert_eq!(said.code, 2, "{said:?}");
        parts.iter().for_each(|part| assert!(said.notes.contains(part), "{part} in {}", said.notes));
        assert_absent(said.notes.as_bytes(), &[KEY], "the message");
    };
    let add = ["integrations", "add", "acme", "shop"];
    let with = |more: &[&'static str]| [&add[..], more].concat();
    let missing = [
        "needs fields that are missing:",
        "  user: API user\n",
        "  key: API key (From Settings → API)",
        "hint: add `--set user=VALUE`",
    ];
    refused(&with(&[]), "", &missing);
    refused(&with(&["--set", "usr=a", "--secret", "key"]), KEY, &["has no field `usr`", "did you mean `user`?"]);
    refused(
        &with(&["--set", "user=a", "--set", "key=shop-key-canary-5521"]),
        "",
        &["`key` is a secret", "`--secret key` asks for it"],
    );
    refused(&with(&["--set", "user=a", "--secret", "note"]), "x", &["`note` is no secret", "`--set note=VALUE`"]);
    refused(&with(&["--set", "user=", "--secret", "key"]), KEY, &["`user` is empty"]);
    refused(&with(&["--set", "user=a", "--secret", "key"]), "", &["`key` is expected on standard input"]);
    refused(&with(&["--secret", "key=shop-key-canary-5521"]), "", &["takes a name and no value"]);
    refused(&["integrations", "add", "acne", "shop"], "", &["no tenant `acne`", "did you mean `acme`?"]);
    refused(&["integrations", "add", "acme", "shp"], "", &["no source `shp`", "did you mean `shop`?"]);
    refused(&["integrations", "show", "7"], "", &["there is no integration 7"]);
    project.write("key.txt", &format!("{KEY}\n"));
    project.data_of(&with(&["--set", "user=a", "--secret-file", "key=key.txt"]));
    refused(&["integrations", "set", "1", "--unset", "user"], "", &["  user: API user"]);
    refused(&["integrations", "set", "1", "--unset", "nothing"], "", &["has no field `nothing`"]);
    let store = ["integrations", "add", "acme", "stores", "--set", "shop=acme.example"];
    project.data_of(&store);
    let twin = ["integrations", "add", "globex", "stores", "--set", "shop=acme.example"];
    refused(&twin, "", &["integration 2 of `acme` is found by the same values: `shop` is `acme.example`"]);
}

#[test]
fn a_record_is_the_tenants_whose_integration_has_its_field_and_a_later_one_is_found_by_a_replay() {
    let project = project().file("routes.d/stores.yaml", WHERE);
    project.data_of(&["integrations", "add", "acme", "stores", "--set", "shop=acme.example"]);
    let server = project.serve();
    for shop in ["acme.example", "globex.example"] {
        assert_eq!(request(&server.intake, "POST", "/in/stores", &[], &format!("{{\"shop\":\"{shop}\"}}")).status, 200);
    }
    until(|| project.rows("log").len() == 1, || server.said());
    project.data_of(&["integrations", "add", "globex", "stores", "--set", "shop=globex.example"]);
    let listed = json(&project.data_of(&["deliveries", "list", "--state", "dead", "--format", "json"]));
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    project.data_of(&["deliveries", "replay", listed[0]["delivery"].as_str().expect("an id")]);
    until(|| project.rows("log").len() == 2, || server.said());
    let rows = project.rows("log");
    let tenants: Vec<&Json> = rows.iter().map(|row| &row["tenant"]).collect();
    assert_eq!(tenants, ["acme", "globex"]);
    let globex = json(&project.data_of(&["deliveries", "list", "--tenant", "globex", "--format", "json"]));
    assert_eq!((globex.as_array().map(Vec::len), &globex[0]["integration"]), (Some(1), &2.into()), "{globex}");
}

#[test]
fn a_customer_is_handed_the_files_text_with_a_key_only_when_it_is_made() {
    let project = economic();
    let created = project.data_of(&[&CREATE[..], &["https://hooks.example", "--lang", "da"]].concat());
    let key = created.lines().next().expect("a key").to_owned();
    for part in [
        "# e-conomic for acme".to_owned(),
        "En superbruger af e-conomic-aftalen".to_owned(),
        format!("     https://hooks.example/?APIKey={key}&APISource=eConomicOrder"),
        "     {\"eConomicAPIKey\":\"<aftalens token>\",\"old\":\"[OLDNUMBER]\",\"number\":\"[NEWNUMBER]\"}".to_owned(),
    ] {
        assert!(created.contains(&part), "{part} in {created}");
    }
    assert!(!created.contains("keys rotate"), "{created}");
    project.data_of(&["integrations", "add", "acme", "economic"]);
    let shown = project.data_of(&["integrations", "show", "1", "--onboarding", "--public-url", "https://hooks.example"]);
    for part in [
        "A super user",
        "https://hooks.example/?APIKey=<API-KEY>&APISource=eConomicOrder",
        "<Agreement grant token>",
        "keys rotate",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains(&key), "{shown}");
    let second = project.run(&["integrations", "add", "acme", "economic"]);
    assert!(second.code == 2 && second.notes.contains("has the integration 1 of `economic` already"), "{second:?}");
}

#[test]
fn a_customer_of_a_file_without_a_text_is_handed_a_list() {
    let project = project();
    project.run_with_input(&["integrations", "add", "acme", "shop", "--set", "user=ann", "--secret", "key"], KEY);
    let shown = |language: &str| project.data_of(&["integrations", "show", "1", "--onboarding", "--lang", language]);
    let text = shown("en");
    for part in [
        "# Shop: acme",
        "The webhook goes to:",
        "/in/shop/hti_",
        "- API user: is stored",
        "- API key (From Settings → API): is stored",
        "- note: is missing",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(shown("da").contains("- API-nøgle (From Settings → API): er gemt"));
    assert!(shown("de").contains("Der Webhook geht an:"));
    assert_absent(text.as_bytes(), &[KEY], "what is handed out");
}

#[test]
fn what_an_onboarding_text_names_is_checked() {
    let project = project();
    std::fs::create_dir_all(project.path("templates/onboarding")).expect("a folder");
    let file = |onboarding: &str| project.write("routes.d/shop.yaml", &format!("{SHOP}onboarding: {onboarding}\n"));
    let problems = || project.run(&["check"]).data;
    project.write("templates/onboarding/shop.en.md", "{{ url }} {{ field.usr }}\n{{ bdy }} {{ secret.key }}");
    file("{ template: \"onboarding/shop.{{ lang }}.md\", body: \"{{ field.kye }}\" }");
    let said = problems();
    for part in [
        "the integration has no field `usr`",
        "templates/onboarding/shop.en.md:1:14",
        "did you mean `body`?",
        "a secret may not stand in what a customer is handed",
        "did you mean `key`?",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    file("{ template: \"onboarding/shp.{{ lang }}.md\" }");
    let said = problems();
    assert!(said.contains("there is no template `onboarding/shp.en.md`") && said.contains("did you mean"), "{said}");
    project.write("templates/onboarding/shop.en.md", "{{ tenant }} at {{ url }} in {{ lang }}");
    file("{ template: onboarding/shop.en.md }");
    assert_eq!(project.run(&["check"]).code, 0, "{}", problems());
}

#[test]
fn a_key_is_replaced_by_one_for_the_same_purpose() {
    let project = economic();
    let old = json(&project.data_of(&[&CREATE[..], &["https://hooks.example", "--format", "json"]].concat()));
    let new = json(&project.data_of(&["keys", "rotate", "1", "--format", "json"]));
    assert_eq!((&new["tenant"], &new["source"], &new["replaces"]), (&"acme".into(), &"economic".into(), &1.into()));
    assert_ne!(new["key"], old["key"]);
    let listed = json(&project.data_of(&["keys", "list", "--format", "json"]));
    assert!(listed[0]["revoked_at"].is_string() && listed[1]["revoked_at"].is_null(), "{listed}");
    assert_eq!(listed[1]["description"], "the agreement");
    let again = project.run(&["keys", "rotate", "1"]);
    assert!(again.code == 2 && again.notes.contains("revoked already"), "{again:?}");
}

#[test]
fn users_are_added_changed_and_removed() {
    let project = Project::new();
    let password = "correct-horse-canary";
    let said = project.run_with_input(&["users", "add", "ann@example.com", "--role", "support"], &format!("{password}\n"));
    assert!(said.code == 0 && said.notes.contains("added `ann@example.com` as support"), "{said:?}");
    let short = project.run_with_input(&["users", "add", "bob", "--role", "viewer"], "hunter2\n");
    assert!(short.code == 2 && short.notes.contains("7 characters") && !short.notes.contains("hunter2"), "{short:?}");
    assert!(project.run(&["users", "add", "bob", "--role", "boss"]).notes.contains("one of admin, support, viewer"));
    project.data_of(&["users", "set-role", "ann@example.com", "admin"]);
    let said = project.run_with_input(&["users", "set-password", "ann@example.com"], "another-long-password\n");
    assert!(said.code == 0 && said.notes.contains("has a new password"), "{said:?}");
    let listed = json(&project.data_of(&["users", "list", "--format", "json"]));
    assert_eq!((listed.as_array().map(Vec::len), &listed[0]["role"]), (Some(1), &"admin".into()), "{listed}");
    let state = std::fs::read(project.path("data/state.db")).expect("a state");
    assert_absent(&state, &[password, "another-long-password"], "the state");
    project.data_of(&["users", "remove", "ann@example.com"]);
    let gone = project.run(&["users", "remove", "ann@example.com"]);
    assert!(gone.code == 2 && gone.notes.contains("there is no user `ann@example.com`"), "{gone:?}");
}

#[test]
fn the_master_key_is_replaced_while_the_server_runs() {
    let project = project();
    project.run_with_input(&["integrations", "add", "acme", "shop", "--set", "user=ann", "--secret", "key"], KEY);
    let read = || std::fs::read_to_string(project.path("data/master.key")).expect("a key file");
    let old = read();
    let server = project.serve_with(&["--public-url", "http://127.0.0.1:8080"]);
    let path = path_in(&project.data_of(&["integrations", "show", "1"]));
    assert_eq!(request(&server.intake, "POST", &path, &[], "{}").status, 200);
    let said = project.run(&["secrets", "rotate-master-key"]);
    assert!(said.code == 0 && said.notes.contains("the master key is replaced; 1 data key sealed with it now"), "{said:?}");
    assert_ne!(read(), old);
    assert_eq!(request(&server.intake, "POST", &path, &[], "{}").status, 200, "it goes on without a restart");
    until(|| project.rows("log").len() == 2, || server.said());
    assert!(!said.notes.contains(old.trim()) && !said.notes.contains(read().trim()));
    assert_eq!(server.terminate().0, 0);
    let server = project.serve();
    assert_eq!(request(&server.intake, "POST", &path, &[], "{}").status, 200, "and after one");
    assert_eq!(server.terminate().0, 0);
    project.write("data/master.key", &old);
    let refused = project.run(&["keys", "list"]);
    assert!(refused.code == 2 && refused.notes.contains("the master key does not fit"), "{refused:?}");
}

#[test]
fn a_master_key_from_the_environment_is_replaced_by_one_from_there() {
    let (old, new) = ("11".repeat(32), "22".repeat(32));
    let project = Project::new().environment("HOOKTABLE_MASTER_KEY", &old);
    project.data_of(&["tenants", "add", "acme"]);
    let refused = project.run(&["secrets", "rotate-master-key"]);
    assert!(refused.code == 2 && refused.notes.contains("HOOKTABLE_NEW_MASTER_KEY"), "{refused:?}");
    let project = project.environment("HOOKTABLE_NEW_MASTER_KEY", &new);
    let said = project.run(&["secrets", "rotate-master-key"]);
    assert!(said.code == 0 && said.notes.contains("put the new key into HOOKTABLE_MASTER_KEY"), "{said:?}");
    assert!(!said.notes.contains(&new), "{said:?}");
    assert_eq!(project.run(&["tenants", "list"]).code, 2, "the old one opens nothing");
    let project = project.environment("HOOKTABLE_MASTER_KEY", &new);
    assert!(project.data_of(&["tenants", "list"]).contains("acme"));
}
