//! A provider that answers nobody: its work keeps hands, but never all of them, and they are given back when the program ends.

use std::net::TcpListener;

use sqlx::{Connection as _, Row as _, SqliteConnection};

use crate::support::project::{Project, Serving, request, until};

const SILENT: &str = "auth: { none: test }
apis: { silent: { base: \"https://silent.example\", timeout: 1m } }
extract: { number: $.body.number }
lane: \"thing/{{ number }}\"
enrich: { thing: \"/things/{{ number }}\" }
write: { upsert: things, key: { number: $.number }, set: { name: $.thing.name } }
";
const QUICK: &str = "auth: { none: test }
write: { insert: log, set: { n: $.body.n } }
";
/// More than there are hands.
const MANY: usize = 60;

/// A server of both sources, with as much work of the silent one under way as there is room for.
fn busy_with_silence() -> (Project, Serving, TcpListener) {
    // whoever connects is accepted by the system and hears nothing
    let silence = TcpListener::bind("127.0.0.1:0").expect("bound");
    let project = Project::new().file("routes.d/silent.yaml", SILENT).file("routes.d/quick.yaml", QUICK);
    project.data_of(&["tables", "--create"]);
    let simulated = format!("https://silent.example=http://{}", silence.local_addr().expect("an address"));
    let server = project.serve_with(&["--simulate-api", &simulated]);
    for number in 0..MANY {
        let body = format!(r#"{{"number":{number}}}"#);
        assert_eq!(request(&server.intake, "POST", "/in/silent", &[("content-type", "application/json")], &body).status, 200);
    }
    until(|| held(&project) > 0, || format!("nothing of the silent one is under way:\n{}", server.said()));
    (project, server, silence)
}

/// How many lanes are worked on, as the state says.
fn held(project: &Project) -> i64 {
    let url = format!("sqlite://{}?mode=ro", project.path("data/state.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = SqliteConnection::connect(&url).await.expect("connected");
        let row = sqlx::query("select count(*) from lane where owner is not null").fetch_one(&mut connection).await;
        row.expect("counted").get(0)
    })
}

#[test]
fn a_provider_that_answers_nobody_does_not_hold_up_other_sources() {
    let (project, server, _silence) = busy_with_silence();
    for n in 0..MANY {
        let body = format!(r#"{{"n":{n}}}"#);
        assert_eq!(request(&server.intake, "POST", "/in/quick", &[("content-type", "application/json")], &body).status, 200);
    }
    // an attempt at the silent one takes longer than is waited here
    until(
        || project.rows("log").len() == MANY,
        || format!("the rows of the quick source wait for the silent one:\n{}", server.said()),
    );
    assert!(held(&project) > 0, "the silent one is still at work");
}

#[test]
fn what_is_cut_off_at_the_end_is_given_back() {
    let (project, server, _silence) = busy_with_silence();
    let (code, said) = server.terminate();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("work that was cut off is given back"), "{said}");
    assert_eq!(held(&project), 0);
}
