//! Planted secrets: whatever is written down or shown, none of them is in it.

use std::path::Path;
use std::time::Duration;

use hooktable::store::records;
use hooktable::store::records::Filter;

use hooktable::rehearsal::simulate::Simulation;

use crate::support::project::{Project, request, until};
use crate::support::test_app::{Builder, TestApp, repository};

const GRANT: &str = "grant-canary-7f3a/ø&\\\"x";
const APP: &str = "app-secret-canary";

/// Every form in which a secret could hide.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let json = serde_json::to_string(secret).expect("a text");
    let query: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let texts = [
        secret.to_owned(),
        json[1..json.len() - 1].to_owned(),
        query,
        hex::encode(secret),
        base64::engine::general_purpose::STANDARD.encode(secret),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}

pub(crate) fn assert_absent(haystack: &[u8], secrets: &[&str], place: &str) {
    for secret in secrets {
        for form in forms(secret) {
            assert!(
                !haystack.windows(form.len()).any(|window| window == form),
                "a secret stands in {place}: {}",
                String::from_utf8_lossy(&form)
            );
        }
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() && !path.ends_with("master.key") {
            found.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
    found
}

async fn assert_nothing_shown(app: &TestApp, secrets: &[&str]) {
    for record in app.records().await {
        let shown = records::show(&app.tools.store, record.delivery).await.expect("a delivery").expect("a delivery");
        assert_absent(format!("{shown:?}").as_bytes(), secrets, "what is shown of a delivery");
    }
    let listed = records::list(&app.tools.store, &Filter::default()).await.expect("records");
    assert_absent(format!("{listed:?}").as_bytes(), secrets, "the list of deliveries");
    for (path, bytes) in files(app.folder()) {
        assert_absent(&bytes, secrets, &path);
    }
}

#[tokio::test]
async fn no_secret_is_written_down_or_shown() {
    let app = Builder::economic().start().await;
    let key = app.key("acme", "economic").await;
    let body = |number: &str| serde_json::json!({ "eConomicAPIKey": GRANT, "number": number }).to_string();
    let secrets = [GRANT, APP, key.as_str()];
    let header = [("content-type", "application/json"), ("authorization", "Bearer grant-canary-header")];
    let target = format!("/?APIKey={key}&APISource=eConomicOrder&again={key}");
    // done, gone, dead for its number, dead for its body, dead for a missing list, failed by an API that is down
    for body in [body("20417"), body("999"), body(GRANT), format!("{} oops", body("1"))] {
        assert_eq!(app.send("POST", &target, &header, &body).await.status, 200);
    }
    app.run_pending_deliveries(Duration::from_secs(60)).await;
    app.answer("orders/sent/20417", &serde_json::json!({ "netAmount": GRANT, "lines": [] }).to_string());
    app.send("POST", &target, &header, &body("20417")).await;
    app.run_pending_deliveries(Duration::from_secs(60)).await;
    app.api.set_down(true);
    app.send("POST", &target, &header, &body("20418")).await;
    app.run_pending_deliveries(Duration::from_secs(60)).await;
    assert_eq!(app.states().await, ["done", "done", "dead", "dead", "dead", "retrying"], "{:?}", app.records().await);
    assert_nothing_shown(&app, &[&secrets[..], &["grant-canary-header"]].concat()).await;
}

/// What the commands say that show everything there is.
fn what_commands_say(project: &Project) -> String {
    let mut said = String::new();
    for command in [
        &["deliveries", "list"][..],
        &["keys", "list"],
        &["integrations", "set", "1", "--secret-file", "grant_token=grant.txt"],
        &["integrations", "list", "--format", "json"],
        &["integrations", "show", "1"],
        &["integrations", "show", "1", "--onboarding"],
        &["secrets", "rotate-master-key"],
        &["sources", "list"],
        &["check"],
        &["serve", "--print-config"],
        &["tables"],
    ] {
        let output = project.run(command);
        said += &(output.data + &output.notes);
    }
    said
}

/// Every byte that the program writes or prints, at the most talkative, the one line that shows a new key excepted.
#[test]
fn the_program_says_no_secret() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let route = std::fs::read_to_string(repository("routes.d/economic.yaml")).expect("the shipped route file");
    let project = Project::new()
        .file("routes.d/economic.yaml", route.split("onboarding:\n").next().expect("a text"))
        .file("schema.sql", "")
        .environment("ECONOMIC_APP_SECRET_TOKEN", APP);
    let answers = repository("examples/timetracking/apis/economic");
    let api = runtime.block_on(Simulation::start(answers, ([127, 0, 0, 1], 0).into())).expect("a simulated API");
    let mut said = String::new();
    said += &project.data_of(&["tables", "--create"]);
    said += &project.data_of(&["tenants", "add", "acme"]);
    let create = ["keys", "create", "--tenant", "acme", "--source", "economic", "--description", "x", "--format", "json"];
    let key: serde_json::Value = serde_json::from_str(&project.data_of(&create)).expect("JSON");
    let key = key["key"].as_str().expect("a key").to_owned();
    let stored = "stored-grant-canary-3c19";
    project.write("grant.txt", stored);
    said += &project.data_of(&["integrations", "add", "acme", "economic", "--secret-file", "grant_token=grant.txt"]);
    let server =
        project.serve_with(&["--log", "trace", "--simulate-api", &format!("https://restapi.e-conomic.com={}", api.url())]);
    let target = |key: &str| format!("/?APIKey={key}&APISource=eConomicOrder");
    let body = |number: &str| serde_json::json!({ "eConomicAPIKey": GRANT, "number": number }).to_string();
    let wrong = "wrong-key-canary-91c2";
    let post = |target: &str, body: &str| {
        request(&server.intake, "POST", target, &[("Authorization", "Bearer header-canary-77aa")], body)
    };
    for (key, body) in
        [(key.as_str(), body("20417")), (&key, body(GRANT)), (&key, format!("{} oops", body("1"))), (wrong, body("20417"))]
    {
        let reply = post(&target(key), &body);
        said += &reply.body;
    }
    assert_eq!(post(&format!("/nowhere/{key}?APIKey={key}"), "{}").status, 404);
    until(|| project.rows("jobs").len() == 1, || server.said());
    api.set_down(true);
    post(&target(&key), &body("20418"));
    until(|| project.data_of(&["deliveries", "list"]).contains("retrying"), || server.said());
    project.write("routes.d/economic.yaml", &route.replace("event: $.query.APISource", "event: $.qury.APISource"));
    server.wait_until_it_says("last good version");
    let listed: serde_json::Value =
        serde_json::from_str(&project.data_of(&["deliveries", "list", "--format", "json"])).expect("JSON");
    for record in listed.as_array().expect("a list") {
        let id = record["delivery"].as_str().expect("an id");
        said += &project.data_of(&["deliveries", "show", id]);
        said += &project.data_of(&["deliveries", "show", id, "--format", "json"]);
        let replayed = project.run(&["deliveries", "replay", id]);
        said += &(replayed.data + &replayed.notes);
    }
    said += &what_commands_say(&project);
    for page in ["/readyz", "/metrics", "/healthz"] {
        said += &request(&server.admin, "GET", page, &[], "").body;
    }
    let (code, log) = server.terminate();
    assert_eq!(code, 0, "{log}");
    let secrets = [GRANT, APP, key.as_str(), wrong, stored, "header-canary-77aa"];
    assert!(log.contains("request rejected") && log.contains("attempt failed"), "the log is about something:\n{log}");
    assert_absent(log.as_bytes(), &secrets, "the log");
    assert_absent(said.as_bytes(), &secrets, "what commands print");
    for (path, bytes) in files(&project.path("data")) {
        assert_absent(&bytes, &secrets, &path);
    }
}

#[tokio::test]
async fn what_was_sealed_can_be_opened_again() {
    let app = Builder::economic().start().await;
    let key = app.key("acme", "economic").await;
    let body = serde_json::json!({ "eConomicAPIKey": GRANT, "number": "20417" }).to_string();
    app.send_order(&key, &body).await;
    let delivery = app.records().await[0].delivery;
    let stored = records::request(&app.tools.store, delivery).await.expect("the request");
    assert_eq!(stored.request.body, body.as_bytes());
    assert_eq!(stored.request.query, format!("APIKey={key}&APISource=eConomicOrder"));
}
