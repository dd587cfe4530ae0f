//! Requests that are refused: what their senders are told, what is kept of them for others, and that they cost little.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::support::project::{Project, request};
use crate::support::test_app::{Builder, TestApp};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn app(blocks: &str) -> TestApp {
    let text = format!("{blocks}\nwrite: {{ insert: log, set: {{ body: $.body }} }}\n");
    let schema = "create table log (id integer primary key, body text)";
    Builder::new("routes.d/shop.yaml", &text).environment("HOOK_SECRET", "sesame-open").schema(schema).start().await
}

const TOKEN: &str = "auth: { token: $.headers.x_token, prefix: \"Bearer \", secret: { env: HOOK_SECRET } }";

#[tokio::test]
async fn the_integrator_sees_what_the_sender_is_not_told() {
    let app = app(TOKEN).await;
    let answer = app.send("POST", "/in/shop?k=sesame-open", &[("x-token", "sesame-open"), JSON], r#"{"a":"sesame-open"}"#).await;
    assert_eq!((answer.status, answer.body["error"].as_str()), (401, Some("the token is not valid")));
    app.send("POST", "/in/shop", &[], &"x".repeat(2 << 20)).await;
    let rejected = app.rejected("shop");
    let statuses: Vec<u16> = rejected.iter().map(|one| one.status).collect();
    assert_eq!(statuses, [413, 401], "the newest first");
    assert_eq!(rejected[1].findings.len(), 2, "{rejected:?}");
    assert!(rejected[1].findings[1].contains("without that prefix it matches"), "{rejected:?}");
    assert_eq!((rejected[1].body["a"].as_str(), rejected[1].query["k"][0].as_str()), (Some("•••"), Some("•••")));
    assert!(!format!("{rejected:?}").contains("sesame-open"), "{rejected:?}");
}

#[tokio::test]
async fn a_key_of_ours_in_the_wrong_place_is_not_shown() {
    let app = app("auth: { api_key: $.query.key }").await;
    let key = app.key("acme", "shop").await;
    for target in [format!("/in/shop?kei={key}"), "/in/shop".to_owned()] {
        app.send("POST", &target, &[("x-key", &key), JSON], &format!(r#"{{"note":"my key is {key}"}}"#)).await;
    }
    let rejected = app.rejected("shop");
    assert_eq!(rejected.len(), 2);
    assert!(!format!("{rejected:?}").contains(&key[4..]), "{rejected:?}");
}

#[tokio::test]
async fn who_fails_again_and_again_waits_and_nobody_else_does() {
    let app = app("auth: { token: $.query.token, secret: { env: HOOK_SECRET } }").await;
    let send = async |token: &str| {
        let began = Instant::now();
        let status = app.send_from("192.0.2.1", &format!("/in/shop?token={token}"), "{}").await.status;
        (status, began.elapsed())
    };
    for _ in 0..6 {
        assert_eq!(send("wrong").await.0, 401);
    }
    let (status, took) = send("wrong").await;
    assert!(status == 401 && took >= Duration::from_millis(200), "{took:?}");
    let (status, took) = send("sesame-open").await;
    assert!(status == 200 && took < Duration::from_millis(150), "the rightful sender of the same address: {took:?}");
    app.clock.move_to(app.clock.now() + Duration::from_secs(60));
    assert!(send("wrong").await.1 < Duration::from_millis(150), "forgiven");
}

#[tokio::test]
async fn over_its_rate_a_sender_is_told_when_to_come_again() {
    let app = app(&format!("{TOKEN}\nreceive: {{ rate: 2/10s }}")).await;
    let send = async || app.send("POST", "/in/shop", &[("x-token", "Bearer sesame-open"), JSON], "{}").await;
    assert_eq!((send().await.status, send().await.status), (200, 200));
    let answer = send().await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (429, "5"), "{answer:?}");
    app.clock.move_to(app.clock.now() + Duration::from_micros(4_999_999));
    let answer = send().await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (429, "1"), "never less than a second");
    app.clock.move_to(app.clock.now() + Duration::from_micros(1));
    assert_eq!((send().await.status, send().await.status), (200, 429), "one came back");
    app.clock.move_to(app.clock.now() + Duration::from_secs(10));
    assert_eq!((send().await.status, send().await.status, send().await.status), (200, 200, 429), "never more than two");
    assert_eq!(app.records().await.len(), 5);
}

#[tokio::test]
async fn unknown_paths_are_all_the_same() {
    let app = app(TOKEN).await;
    let answers =
        [("POST", "/in/shops"), ("GET", "/"), ("DELETE", "/in"), ("POST", "/in/shop/more")].map(async |(method, path)| {
            let answer = app.send(method, path, &[("content-encoding", "nonsense")], &"x".repeat(3 << 20)).await;
            (answer.status, answer.text)
        });
    for answer in answers {
        assert_eq!(answer.await, (404, r#"{"error":"no source receives this request"}"#.to_owned()));
    }
}

#[tokio::test]
async fn an_unknown_endpoint_is_refused_like_a_wrong_credential() {
    let app = app("receive: { path: \"/in/shop/:integration\" }\nauth: { integration: $.params.integration }").await;
    let answer = app.send("POST", "/in/shop/nobodys", &[JSON], "{}").await;
    assert_eq!((answer.status, answer.text.as_str()), (401, r#"{"error":"the address is not valid"}"#));
    assert!(!format!("{:?}", app.rejected("shop")).contains("nobodys"), "an endpoint is a credential");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_not_looked_at() {
    let app = app(TOKEN).await;
    let long = "x".repeat(20 << 10);
    assert_eq!(app.send("POST", "/in/shop", &[("x-token", &long)], "{}").await.status, 401);
    assert_eq!(app.send("POST", "/in/shop", &[("x-token", &long), ("x-more", &long)], "{}").await.status, 431);
    assert_eq!(app.send("POST", &format!("/in/shop?{long}{long}"), &[], "{}").await.status, 431);
}

/// What the server says to these bytes.
fn say(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    // it may answer, and close, before it has heard all
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn the_server_bounds_what_it_hears() {
    let project = Project::with_sensors();
    let server = project.serve();
    let many = "x-a: b\r\n".repeat(500);
    let head = |more: &str| format!("POST /in/sensors HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n").into_bytes();
    let answer = say(&server.intake, &head(&many));
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = say(&server.intake, &head(&format!("x-a: {}\r\n", "b".repeat(1 << 20))));
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let mut chunked = head("x-token: sesame\r\ntransfer-encoding: chunked\r\n");
    (0..17).for_each(|_| chunked.extend(&chunk));
    let answer = say(&server.intake, &chunked);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(request(&server.intake, "POST", "/in/sensors", &[("x-token", "sesame")], "{}").status, 200);
}

#[test]
fn refused_requests_are_listed_while_the_server_runs() {
    let project = Project::with_sensors();
    let server = project.serve();
    let token = ("x-token", "\u{202e}wrong-canary");
    assert_eq!(request(&server.intake, "POST", "/in/sensors?a=%1b%5b2J", &[token], "{}").status, 401);
    server.wait_until_it_says("findings=\"what stands at `$.headers.x_token` is another value");
    let text = project.data_of(&["sources", "rejected", "sensors"]);
    for part in ["  401  POST /in/sensors  from 127.0.0.1", "told     the token is not valid", "is another value", "\\\\u001b[2J"]
    {
        assert!(text.contains(part), "`{part}` in {text}");
    }
    assert!(!text.contains("wrong-canary") && !server.said().contains("wrong-canary"), "{text}");
    let json: Json =
        serde_json::from_str(&project.data_of(&["sources", "rejected", "sensors", "--format", "json"])).expect("JSON");
    assert_eq!((json[0]["status"].as_u64(), json[0]["peer"].as_str()), (Some(401), Some("127.0.0.1")));
    let unknown = project.run(&["sources", "rejected", "sensor"]);
    assert!(unknown.code == 2 && unknown.notes.contains("did you mean `sensors`?"), "{unknown:?}");
    drop(server);
    let stopped = project.run(&["sources", "rejected", "sensors"]);
    assert!(stopped.code == 2 && stopped.notes.contains("no server runs"), "{stopped:?}");
}

#[test]
fn only_a_trusted_proxy_is_believed_who_sent_a_request() {
    let file =
        "auth: { ip: [203.0.113.0/24] }\nwrite: { insert: sensor_log, set: { received_at: $.received_at, raw: $.body } }\n";
    let project = Project::with_sensors().file("routes.d/far.yaml", file);
    let send = |intake: &str, from: &str| request(intake, "POST", "/in/far", &[("x-forwarded-for", from)], "{}").status;
    let server = project.serve();
    assert_eq!(send(&server.intake, "203.0.113.7"), 401, "anyone can write a header");
    assert_eq!(server.terminate().0, 0);
    let server = project.serve_with(&["--trusted-proxy", "127.0.0.0/8"]);
    assert_eq!(send(&server.intake, "203.0.113.7"), 200);
    assert_eq!(send(&server.intake, "192.0.2.1"), 401);
    assert_eq!(send(&server.intake, "203.0.113.7, 192.0.2.1"), 401, "the last one on the way counts");
    let text = project.data_of(&["sources", "rejected", "far"]);
    assert!(text.contains("from 192.0.2.1"), "{text}");
}

#[test]
fn support_opens_a_window_and_reads_what_a_provider_tells() {
    let file = "auth: { token: $.body.token, secret: { env: SENSORS_TOKEN } }
handshake: { when: body.secret, auth: { none: an example }, show: { secret: $.body.secret } }
write: { insert: sensor_log, set: { raw: $.body } }
";
    let project = Project::with_sensors().file("routes.d/clock.yaml", file);
    let server = project.serve();
    let tell = |secret: &str| {
        let body = serde_json::json!({ "secret": secret }).to_string();
        assert_eq!(request(&server.intake, "POST", "/in/clock", &[JSON], &body).status, 200);
    };
    tell("early-canary");
    server.wait_until_it_says("nobody waits for what it shows");
    tell("early-canary");
    let opened = project.run(&["sources", "onboard", "clock"]);
    assert!(opened.notes.contains("is open until 20"), "{opened:?}");
    assert!(opened.data.starts_with("POST http://") && opened.data.contains("/in/clock"), "{opened:?}");
    tell("told-canary\u{1b}[2J");
    for arguments in [&["sources", "show", "clock"][..], &["sources", "onboard", "clock", "--values"]] {
        let shown = project.run(arguments);
        assert!(shown.data.contains("secret: told-canary\\u{1b}[2J\n  1 time, first 20"), "{shown:?}");
        assert!(shown.data.contains("from 127.0.0.1") && !shown.data.contains("early-canary"), "{shown:?}");
    }
    let said = server.said();
    assert!(!said.contains("canary"), "{said}");
    assert_eq!(said.matches("nobody waits for what it shows").count(), 1, "{said}");
    for file in ["state.db", "state.db-wal"] {
        let bytes = std::fs::read(project.path("data").join(file)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("canary"), "sealed in {file}");
    }
    let unknown = project.run(&["sources", "onboard", "clok"]);
    assert!(unknown.code == 2 && unknown.notes.contains("did you mean `clock`?"), "{unknown:?}");
}
