//! The server from the outside: the real binary, spoken to over HTTP and through its commands.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value as Json;

use crate::support::project::{Project, Reply, Serving, request, until};

const TOKEN: (&str, &str) = ("x-token", "sesame");

fn send(server: &Serving, body: &str) -> Reply {
    request(&server.intake, "POST", "/in/sensors", &[TOKEN, ("content-type", "application/json")], body)
}

fn wait_for_rows(project: &Project, table: &str, count: usize) {
    until(|| project.rows(table).len() == count, || format!("{:?}", project.rows(table)));
}

#[test]
fn a_webhook_becomes_a_row_and_the_wrong_ones_are_told() {
    let project = Project::with_sensors();
    let server = project.serve();
    assert!(server.said().contains("active     sensors (routes.d/sensors.yaml): POST /in/sensors"), "{}", server.said());
    let reply = send(&server, r#"{"t":21.5}"#);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.json()["delivery"].is_string());
    wait_for_rows(&project, "sensor_log", 1);
    assert_eq!(project.rows("sensor_log")[0]["raw"], serde_json::json!(r#"{"t":21.5}"#));
    assert_eq!(request(&server.intake, "POST", "/in/sensors", &[("x-token", "open")], "{}").status, 401);
    assert_eq!(request(&server.intake, "POST", "/in/nothing", &[TOKEN], "{}").status, 404);
    let reply = request(&server.intake, "GET", "/in/sensors", &[TOKEN], "");
    assert!(reply.status == 405 && reply.head.contains("allow: post"), "{reply:?}");
    assert_eq!(request(&server.intake, "POST", "/in/sensors", &[TOKEN], &"x".repeat((1 << 20) + 1)).status, 413);
    let metrics = request(&server.admin, "GET", "/metrics", &[], "").body;
    for line in ["hooktable_requests_total{status=\"200\"} 1", "hooktable_route_file_ok{source=\"sensors\"} 1"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    assert_eq!(request(&server.admin, "GET", "/healthz", &[], "").status, 200);
    let ready = request(&server.admin, "GET", "/readyz", &[], "");
    assert_eq!((ready.status, ready.json()["sources"][0]["state"].clone()), (200, Json::from("active")), "{ready:?}");
    assert_eq!(request(&server.intake, "GET", "/metrics", &[], "").status, 404, "operators' pages are not for senders");
    assert!(!server.said().contains("sesame"), "{}", server.said());
    let (code, said) = server.terminate();
    assert_eq!(code, 0, "{said}");
    assert!(!project.path("data/control.sock").exists());
}

#[test]
fn an_edited_file_changes_the_next_delivery_and_a_broken_one_changes_nothing() {
    let project = Project::with_sensors();
    let server = project.serve();
    let file = |set: &str| {
        format!(
            "auth: {{ token: $.headers.x_token, secret: {{ env: SENSORS_TOKEN }} }}\nwrite: {{ insert: sensor_log, set: {{ {set} }} }}\n"
        )
    };
    project.write("routes.d/sensors.yaml", &file("raw: $.body.t"));
    server.wait_until_it_says("activated sensors");
    assert_eq!(send(&server, r#"{"t":1}"#).status, 200);
    wait_for_rows(&project, "sensor_log", 1);
    assert_eq!(project.rows("sensor_log")[0]["raw"], Json::from("1"));
    project.write("routes.d/sensors.yaml", &file("raw: \"{{ nonsense(\""));
    server.wait_until_it_says("sensors keeps its last good version");
    let said = server.said();
    assert!(said.contains("routes.d/sensors.yaml:2:") && said.contains('^'), "{said}");
    assert_eq!(send(&server, r#"{"t":2}"#).status, 200);
    wait_for_rows(&project, "sensor_log", 2);
    assert_eq!(project.rows("sensor_log")[1]["raw"], Json::from("2"));
    let ready = request(&server.admin, "GET", "/readyz", &[], "");
    assert_eq!((ready.status, ready.json()["sources"][0]["state"].clone()), (200, Json::from("last_good")), "{ready:?}");
    // another file is told of, this one not once more
    project.write("routes.d/other.yaml", "auth: { none: test }\nwrite: { insert: sensor_log, set: { raw: $.body } }\n");
    server.wait_until_it_says("activated other");
    assert_eq!(server.said().matches("keeps its last good version").count(), 1, "{}", server.said());
    drop(server);
    let server = project.serve();
    assert!(server.said().contains("LAST GOOD  sensors"), "the last good version survives a restart: {}", server.said());
    assert_eq!(send(&server, r#"{"t":3}"#).status, 200);
    wait_for_rows(&project, "sensor_log", 3);
}

#[test]
fn a_second_server_says_who_has_the_state() {
    let project = Project::with_sensors();
    let server = project.serve();
    let mode = std::fs::metadata(project.path("data/control.sock")).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let said = project.run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.notes.contains("in use by the hooktable with process number") && said.notes.contains(&server.intake),
        "{said:?}"
    );
    assert_eq!(send(&server, "{}").status, 200, "the first one goes on");
}

#[test]
fn a_new_key_opens_and_a_revoked_one_does_not() {
    let file = "auth: { api_key: $.query.key }\nwrite: { insert: log, set: { raw: $.body } }\n";
    let project = Project::new().file("routes.d/orders.yaml", file);
    let server = project.serve();
    project.data_of(&["tenants", "add", "acme"]);
    let shown =
        project.data_of(&["keys", "create", "--tenant", "acme", "--source", "orders", "--description", "x", "--format", "json"]);
    let created: Json = serde_json::from_str(&shown).expect("JSON");
    let url = created["addresses"][0]["url"].as_str().expect("a URL");
    let target = url.strip_prefix(&format!("http://{}", server.intake)).expect("the server's own address");
    assert_eq!(request(&server.intake, "POST", target, &[], "{}").status, 200);
    assert_eq!(request(&server.intake, "POST", "/in/orders?key=htk_no", &[], "{}").status, 401);
    assert_eq!(project.run(&["keys", "revoke", &created["id"].to_string()]).code, 0);
    assert_eq!(request(&server.intake, "POST", target, &[], "{}").status, 401);
    let key = created["key"].as_str().expect("a key");
    assert!(!server.said().contains(key), "{}", server.said());
}

#[test]
fn the_log_shows_no_part_of_a_path_that_may_be_a_credential() {
    let file = "receive: { path: \"/:integration\" }\nintegration: { is: $.params.integration, fields: { seen: { label: Anything } } }\n\
        auth: { integration: $.params.integration }\nwrite: { insert: log, set: { raw: $.body } }\n";
    let project = Project::new().file("routes.d/orders.yaml", file);
    let server = project.serve();
    assert_eq!(request(&server.intake, "POST", "/hti_c4n4ry", &[], "{}").status, 401);
    assert_eq!(request(&server.intake, "POST", "/hti_c4n4ry", &[], &"x".repeat((1 << 20) + 1)).status, 413);
    assert_eq!(request(&server.intake, "GET", "/hti_c4n4ry", &[], "").status, 405);
    assert_eq!(request(&server.intake, "POST", "/hti_c4n4ry/orders", &[], "{}").status, 404);
    until(|| server.said().matches("request rejected").count() == 4, || server.said());
    assert!(server.said().contains("/:integration"), "{}", server.said());
    assert!(!server.said().contains("c4n4ry"), "{}", server.said());
}

#[test]
fn deliveries_are_shown_replayed_and_discarded_while_the_server_runs() {
    let project = Project::with_sensors();
    let server = project.serve();
    let broken = "auth: { token: $.headers.x_token, secret: { env: SENSORS_TOKEN } }\nwrite: { insert: no_such_table, set: { raw: $.body } }\n";
    let good = std::fs::read_to_string(project.path("routes.d/sensors.yaml")).expect("the file");
    project.write("routes.d/sensors.yaml", broken);
    server.wait_until_it_says("activated sensors");
    let delivery = send(&server, r#"{"t":1}"#).json()["delivery"].as_str().expect("an id").to_owned();
    let short = &delivery[delivery.len() - 8..];
    until(|| project.data_of(&["deliveries", "list"]).contains("no_such_table"), || project.data_of(&["deliveries", "list"]));
    let shown = project.data_of(&["deliveries", "show", short]);
    for part in [delivery.as_str(), "FAILED in write", "no_such_table", "x_token: \"•••\"", "body: {\"t\":1}"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("sesame"), "{shown}");
    assert_eq!(project.run(&["deliveries", "discard", short]).code, 0);
    let listed = project.data_of(&["deliveries", "list", "--state", "discarded", "--format", "json"]);
    assert!(listed.contains(&delivery), "{listed}");
    project.write("routes.d/sensors.yaml", &good);
    until(|| server.said().matches("activated sensors").count() == 2, || server.said());
    assert_eq!(project.run(&["deliveries", "replay", short]).code, 0);
    wait_for_rows(&project, "sensor_log", 1);
    until(
        || project.data_of(&["deliveries", "list", "--state", "done"]).contains(short),
        || project.data_of(&["deliveries", "list"]),
    );
    let said = project.run(&["deliveries", "replay", short]);
    assert!(said.code == 1 && said.notes.contains("--apply-again"), "{said:?}");
    assert_eq!(project.run(&["deliveries", "replay", short, "--apply-again"]).code, 0);
    wait_for_rows(&project, "sensor_log", 2);
    assert_eq!(project.run(&["deliveries", "show", "ffffffffffff"]).code, 2);
    assert_eq!(server.terminate().0, 0);
    let shown = project.data_of(&["deliveries", "show", &delivery[..18], "--format", "json"]);
    assert!(shown.contains(&delivery), "without a server the command opens the state itself: {shown}");
}

#[test]
fn all_dead_letters_of_a_source_are_replayed_after_its_file_was_mended() {
    let project = Project::with_sensors();
    let good = std::fs::read_to_string(project.path("routes.d/sensors.yaml")).expect("the file");
    let server = project.serve();
    project.write("routes.d/sensors.yaml", &format!("{good}extract: {{ id: $.body.no_such_name }}\n"));
    server.wait_until_it_says("activated sensors");
    (0..3).for_each(|number| assert_eq!(send(&server, &format!(r#"{{"t":{number}}}"#)).status, 200));
    let listed = || project.data_of(&["deliveries", "list", "--state", "dead"]);
    until(|| listed().matches("sensors").count() == 3, listed);
    project.write("routes.d/sensors.yaml", &good);
    until(|| server.said().matches("activated sensors").count() == 2, || server.said());
    assert_eq!(project.run(&["deliveries", "replay"]).code, 2, "nothing says which");
    let preview = project.run(&["deliveries", "replay", "--source", "sensors", "--preview"]);
    assert!(preview.code == 0 && preview.data.contains('3') && preview.notes.contains("nothing was replayed"), "{preview:?}");
    assert_eq!(project.run(&["deliveries", "replay", "--source", "others"]).code, 1);
    assert_eq!(project.run(&["deliveries", "replay", "--all", "--state", "done"]).code, 2);
    let replayed = project.run(&["deliveries", "replay", "--source", "sensors"]);
    assert!(replayed.code == 0 && replayed.notes.contains("replaying 3 records"), "{replayed:?}");
    wait_for_rows(&project, "sensor_log", 3);
}

#[test]
fn a_delivery_under_way_is_stored_before_the_program_ends() {
    let project = Project::with_sensors();
    let server = project.serve();
    let mut stream = TcpStream::connect(&server.intake).expect("connected");
    let head = "POST /in/sensors HTTP/1.1\r\nhost: x\r\nx-token: sesame\r\ncontent-type: application/json\r\n\
        content-length: 7\r\nexpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("sent");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 100", "the body is waited for");
    server.ask_to_stop();
    server.wait_until_it_says("stopping on SIGTERM");
    stream.write_all(b"{\"t\":1}").expect("sent");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("an answer");
    assert!(rest.contains("HTTP/1.1 200") && rest.contains("delivery"), "{rest}");
    let (stopped, said) = server.wait_for_end();
    assert_eq!(stopped, 0, "{said}");
    let server = project.serve();
    wait_for_rows(&project, "sensor_log", 1);
    drop(server);
}

#[test]
fn support_sees_which_api_is_left_alone_and_whose_work_waits_for_it() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let route = format!(
        "auth: {{ none: a test }}\napis: {{ shop: {{ base: \"http://{closed}\", allow_private: true, retry: {{ times: 9 }} }} }}\n\
         lane: \"{{{{ body.id }}}}\"\nenrich: {{ thing: /x }}\nwrite: {{ upsert: things, key: {{ id: $.body.id }}, set: {{ value: $.thing.name }} }}\n"
    );
    let project = Project::new().file("routes.d/things.yaml", &route);
    let server = project.serve();
    let shown = |format: &str| project.run(&["sources", "show", "things", "--format", format]);
    let fine: Json = serde_json::from_str(&shown("json").data).expect("JSON");
    let none = serde_json::json!([]);
    assert_eq!((&fine["circuits"], &fine["held"], &fine["values"]), (&none, &none, &none));
    let send = |id: &str| {
        let body = format!("{{\"id\":\"{id}\"}}");
        assert_eq!(request(&server.intake, "POST", "/in/things", &[("content-type", "application/json")], &body).status, 200);
    };
    send("1");
    send("2");
    until(|| shown("text").data.contains("circuit open"), || format!("{:?}", shown("text")));
    send("3");
    until(|| shown("text").data.contains("held: all work waits until 2"), || format!("{:?}", shown("text")));
    let text = shown("text").data;
    assert!(text.contains("circuit open: api `shop` is left alone since 2"), "{text}");
    assert!(text.contains(" failed requests in a row; one call asks again at 2"), "{text}");
    assert!(text.contains("\n  api `shop`: connection refused\n"), "{text}");
    let json: Json = serde_json::from_str(&shown("json").data).expect("JSON");
    assert_eq!(json["circuits"][0]["api"], "shop", "{json}");
    assert!(json["circuits"][0]["failures"].as_u64().is_some_and(|failures| failures >= 8), "{json}");
    let (_, said) = server.terminate();
    assert!(said.contains("circuit open"), "{said}");
    assert!(shown("text").notes.contains("no server runs"), "{:?}", shown("text"));
}

#[test]
fn a_folder_of_answers_is_served_as_a_providers_api_with_its_changes_and_its_limit() {
    let project = Project::new().file("order.json", "{\"number\":7}").file(
        "simulate.yaml",
        "limit: 4/h\nanswers: [{ get: /job, json: { state: open }, times: 1 }, { get: /job, json: { state: done } }, { get: /old, status: 410 }]\n",
    );
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_hooktable"))
        .args(["simulate", ".", "--listen", "127.0.0.1:0"])
        .current_dir(project.path("."))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    let mut said = std::io::BufReader::new(child.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut said, &mut line).expect("a line");
    let address = line.trim().trim_start_matches("http://").to_owned();
    let get = |path: &str| request(&address, "GET", path, &[], "");
    assert_eq!(get("/order").json()["number"], 7);
    assert_eq!((get("/job").json()["state"].clone(), get("/job").json()["state"].clone()), ("open".into(), "done".into()));
    assert_eq!(get("/old").status, 410);
    let refused = get("/order");
    assert!(refused.status == 429 && refused.head.contains("retry-after: 3600"), "{refused:?}");
    child.kill().expect("a process to kill");
    child.wait().expect("a process");
}
