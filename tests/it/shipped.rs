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
