//! What is shipped for TimeMoto and Clockodo, where their own tests cannot look: several deliveries in a row, and what customers are handed.

use std::time::Duration;

use crate::support::project::Project;
use crate::support::test_app::{Builder, TestApp, repository};

const LANGUAGES: [&str; 3] = ["da", "de", "en"];

fn shipped(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// TimeMoto over the shipped tables, and the address of a customer whose secret signed the samples.
async fn timemoto() -> (TestApp, String) {
    let route = shipped("routes.d/timemoto.yaml");
    let schema = shipped("examples/timetracking/schema/sqlite.sql");
    let app = Builder::new("routes.d/timemoto.yaml", &route).schema(&schema).start().await;
    let integration = app.integration("acme", "timemoto", &[], &[("signing_secret", "test-signing_secret")]).await;
    let target = format!("/in/timemoto/{}", integration.endpoint.expose());
    (app, target)
}

/// Sends a sample byte by byte as it was captured.
async fn send(app: &TestApp, target: &str, sample: &str) -> u16 {
    let text = shipped(&format!("routes.d/samples/timemoto-{sample}.http"));
    let (head, body) = text.trim_end().split_once("\n\n").expect("an empty line");
    let headers: Vec<(&str, &str)> = head.lines().skip(1).filter_map(|line| line.split_once(": ")).collect();
    app.send("POST", target, &headers, body).await.status
}

async fn settle(app: &TestApp) {
    app.run_pending_deliveries(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn of_timemotos_clockings_the_newest_stays_in_whatever_order_they_come() {
    let (app, target) = timemoto().await;
    for sample in ["attendance-updated", "attendance-inserted", "attendance-updated"] {
        assert_eq!(send(&app, &target, sample).await, 200, "{sample}");
        settle(&app).await;
    }
    let rows = app.rows("attendance").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((&rows[0]["sequence"], &rows[0]["clocked_local"]), (&1211.into(), &"2026-11-21T06:45:00".into()));
    assert_eq!(app.records().await.len(), 2, "the one that came twice is a duplicate");

    assert_eq!(send(&app, &target, "attendance-deleted").await, 200);
    settle(&app).await;
    assert!(app.rows("attendance").await.is_empty());
}

#[tokio::test]
async fn a_deleted_clocking_of_timemoto_does_not_come_back() {
    let (app, target) = timemoto().await;
    for sample in ["attendance-deleted", "attendance-inserted", "attendance-updated", "user-deleted", "user-inserted"] {
        assert_eq!(send(&app, &target, sample).await, 200, "{sample}");
        settle(&app).await;
    }
    assert!(app.rows("attendance").await.is_empty() && app.rows("employees").await.is_empty());
    assert_eq!(app.states().await, ["done"; 5]);
}

#[tokio::test]
async fn the_samples_of_one_customer_are_refused_at_the_address_of_another() {
    let (app, _) = timemoto().await;
    let other = app.integration("globex", "timemoto", &[], &[("signing_secret", "tmkey_another")]).await;
    let unset = app.integration("initech", "timemoto", &[], &[]).await;
    for integration in [other, unset] {
        let target = format!("/in/timemoto/{}", integration.endpoint.expose());
        assert_eq!(send(&app, &target, "attendance-inserted").await, 401);
    }
}

#[test]
fn customers_are_handed_a_text_in_their_language_with_their_own_address() {
    let mut project = Project::new().environment("CLOCKODO_EXTERNAL_APPLICATION", "Hooktable;ops@example.com");
    for source in ["timemoto", "clockodo"] {
        let route = shipped(&format!("routes.d/{source}.yaml"));
        let (route, _) = route.split_once("  samples:").expect("samples");
        project = project.file(&format!("routes.d/{source}.yaml"), route);
    }
    project.data_of(&["tenants", "add", "acme"]);
    project.data_of(&["integrations", "add", "acme", "timemoto"]);
    let add = ["integrations", "add", "acme", "clockodo", "--set", "user=ann@example.dk", "--secret", "key", "--secret", "token"];
    assert_eq!(project.run_with_input(&add, "key-canary\ntoken-canary\n").code, 0);
    let text = |id: &str, language: &str| {
        project.data_of(&[
            "integrations",
            "show",
            id,
            "--onboarding",
            "--lang",
            language,
            "--public-url",
            "https://hooks.example",
        ])
    };
    for language in LANGUAGES {
        let (timemoto, clockodo) = (text("1", language), text("2", language));
        assert!(timemoto.contains("https://hooks.example/in/timemoto/hti_") && timemoto.contains("Plus"), "{timemoto}");
        assert!(clockodo.contains("https://hooks.example/in/clockodo/hti_") && clockodo.contains("ann@example.dk"), "{clockodo}");
        for text in [&timemoto, &clockodo] {
            assert!(text.contains("acme") && text.contains('<') && !text.contains("canary") && !text.contains("{{"), "{text}");
        }
    }
    let titles: Vec<String> =
        LANGUAGES.iter().map(|language| text("2", language).lines().next().unwrap_or_default().to_owned()).collect();
    assert_eq!(titles, ["# Clockodo for acme", "# Clockodo für acme", "# Clockodo for acme"]);
}

/// Everything that happens at Clockodo by its documentation: the entity, where one is fetched, what wraps it, and its events.
const CLOCKODO: &[(&str, &str, &str, &[&str])] = &[
    ("user", "/v3/users/9", "data", &["created", "updated", "deleted"]),
    ("absence", "/v4/absences/9", "data", &["created", "updated", "approved", "deleted"]),
    ("customer", "/v3/customers/9", "data", &["created", "updated", "deleted"]),
    ("project", "/v4/projects/9", "data", &["created", "updated", "completed", "deleted"]),
    ("subproject", "/v3/subprojects/9", "data", &["created", "updated", "deleted"]),
    ("service", "/v4/services/9", "data", &["created", "updated", "deleted"]),
    ("team", "/v3/teams/9", "data", &["created", "updated", "deleted"]),
    ("lump_sum_service", "/v4/lumpSumServices/9", "data", &["created", "updated", "deleted"]),
    ("holidays_carry", "/v3/holidaysCarry/9", "data", &["created", "updated", "deleted"]),
    ("holidays_quota", "/v2/holidaysQuota/9", "data", &["created", "updated", "deleted"]),
    ("overtime_carry", "/v3/overtimeCarry/9", "data", &["created", "updated", "deleted"]),
    ("nonbusiness_group", "/v2/nonbusinessGroups/9", "data", &["created", "updated", "deleted"]),
    ("work_time_change_request", "/v2/workTimes/changeRequests?page=1", "", &["created", "updated", "deleted"]),
    ("entry", "/v2/entries/9", "entry", &["created", "updated", "started", "stopped", "deleted"]),
];

#[test]
fn each_event_of_clockodo_is_fetched_in_its_own_version_of_the_api_and_a_deletion_asks_nothing() {
    let thing = r#"{ "id": 9, "name": "nine", "users_id": 1, "projects_id": 1, "customers_id": 1, "year": 2027, "year_since": 2027, "count": 1,
        "hours": 1, "status": 1, "type": 1, "date": "2026-11-20", "date_since": "2026-12-21", "date_until": "2026-12-23", "active": true,
        "time_since": "2026-11-21T07:00:00Z", "created_at": "2026-11-21T08:00:00Z", "changes": [] }"#;
    let mut tests = "tests:\n".to_owned();
    for (entity, path, wrapper, events) in CLOCKODO {
        for event in *events {
            let answer = match *wrapper {
                "" => format!(r#"{{ "paging": {{ "count_pages": 1 }}, "data": [ {thing} ] }}"#),
                wrapper => format!(r#"{{ "{wrapper}": {thing} }}"#),
            };
            let body = format!(r#"{{ "event_name": "{entity}.{event}", "payload": {{ "{entity}": {{ "id": 9 }} }} }}"#);
            let headers =
                "{ x_clockodoapiuser: test-user, x_clockodoapikey: test-key, x_clockodo_external_application: test-application }";
            let calls = usize::from(*event != "deleted");
            tests += &format!(
                "  - name: {entity}.{event}\n    tenant: acme\n    send: {{ json: {body} }}\n    apis: [ {{ get: \"https://my.clockodo.com/api{path}\", headers: {headers}, json: {answer} }} ]\n    expect: {{ status: 200, state: done, calls: {calls} }}\n"
            );
        }
    }
    let schema = format!("schema: schema.sql\n{tests}");
    let route = shipped("routes.d/clockodo.yaml");
    let (route, _) = route.split_once("onboarding:").expect("an onboarding block");
    let project = Project::new().file("routes.d/clockodo.yaml", route).file("routes.d/clockodo.test.yaml", &schema);
    let project = project.file("routes.d/schema.sql", &shipped("examples/timetracking/schema/sqlite.sql"));
    let said = project.run(&["test"]);
    assert!(said.code == 0 && said.data.contains("46 passed, 0 failed"), "{}{}", said.data, said.notes);
}

#[test]
fn a_password_in_a_form_of_economic_is_shown_nowhere() {
    let route = shipped("routes.d/economic.yaml");
    let (route, _) = route.split_once("onboarding:").expect("an onboarding block");
    let project = Project::new().file("routes.d/economic.yaml", route);
    let request = "POST /?APIKey=k&APISource=eConomicStock HTTP/1.1\nContent-Type: application/x-www-form-urlencoded\n\n\
                   type=stock&username=shop&password=pass-canary&number=BR_45x95";
    let said = project.run_with_input(&["try", "routes.d/economic.yaml", "--request", "-", "--tenant", "acme"], request);
    assert!(said.data.contains("number: \"BR_45x95\"") && said.data.contains("•••"), "{said:?}");
    assert!(!said.data.contains("pass-canary") && !said.notes.contains("pass-canary"), "{said:?}");
}
