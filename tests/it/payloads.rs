//! Bodies in every format, from request to rows: what the content type decides, what the file decides, and what is refused.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use hooktable::store::records;

use crate::secrets::assert_absent;
use crate::support::test_app::{Answer, Builder, TestApp};

const SCHEMA: &str = "create table rows (id integer primary key, a text, b text, quantity integer, total numeric)";
const TEXT: &str = "text/plain";
const FORM: &str = "application/x-www-form-urlencoded";

/// A source at `/in/bodies` with this payload block, writing these columns.
async fn app(payload: &str, set: &str) -> TestApp {
    Builder::new("routes.d/bodies.yaml", &file(payload, set)).schema(SCHEMA).start().await
}

fn file(payload: &str, set: &str) -> String {
    format!("auth: {{ none: a test }}\npayload: {payload}\nwrite: {{ insert: rows, set: {set} }}\n")
}

async fn send(app: &TestApp, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
    app.send_bytes("POST", "/in/bodies", &[("content-type", content_type)], body.as_ref()).await
}

async fn send_encoded(app: &TestApp, encoding: &str, body: &[u8]) -> Answer {
    let headers = [("content-type", "application/json"), ("content-encoding", encoding)];
    app.send_bytes("POST", "/in/bodies", &headers, body).await
}

/// `a` and `b` of every row, sorted, because records that only insert run in no order: `1001|1002`, `~` for null.
async fn written(app: &TestApp) -> Vec<String> {
    app.run_pending_deliveries(Duration::from_secs(1)).await;
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| "~".to_owned(), str::to_owned);
    let mut rows: Vec<String> =
        app.rows("rows").await.iter().map(|row| format!("{}|{}", text(&row["a"]), text(&row["b"]))).collect();
    rows.sort();
    rows
}

async fn reasons(app: &TestApp) -> Vec<String> {
    app.records().await.into_iter().rev().filter_map(|record| record.reason).collect()
}

/// Sends each body of `(content type, body, expected row)` to a source with this payload block.
async fn check(payload: &str, set: &str, bodies: &[(&str, &[u8], &str)]) {
    let app = app(payload, set).await;
    for (content_type, body, _) in bodies {
        assert_eq!(send(&app, content_type, body).await.status, 200);
    }
    let mut expected: Vec<&str> = bodies.iter().map(|(_, _, row)| *row).collect();
    expected.sort_unstable();
    assert_eq!(written(&app).await, expected, "{payload}: {:?}", reasons(&app).await);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory")
}

const FIELDS: &str = "{ a: $.body.a, b: $.body.b }";

#[tokio::test]
async fn the_content_type_says_how_a_body_is_read() {
    let multipart = b"--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n\xC3\xB8\r\n--x--\r\n";
    let bodies: [(&str, &[u8], &str); 8] = [
        ("application/json", br#"{"a":"1","b":"2"}"#, "1|2"),
        ("application/vnd.api+json; charset=utf-8", br#"{"a":"1"}"#, "1|~"),
        (FORM, b"a=1+1&b=%C3%B8", "1 1|ø"),
        ("multipart/form-data; boundary=x", multipart, "1|ø"),
        (TEXT, br#"{"a":"sent as text"}"#, "sent as text|~"),
        ("application/octet-stream", br#" {"a":"octets"}"#, "octets|~"),
        ("", br#"{"a":"untold"}"#, "untold|~"),
        (FORM, b"a=&b", "|"),
    ];
    check("{}", FIELDS, &bodies).await;
    check(
        "{}",
        "{ a: $.body.d.a, b: \"$.body.d['@b']\" }",
        &[("text/xml", b"<d b='2'><a>1 &amp; <![CDATA[<2>]]></a></d>", "1 & <2>|2")],
    )
    .await;
    check("{}", "{ a: $.body, b: $.raw }", &[(TEXT, b"0042", "0042|0042"), ("application/octet-stream", b"7", "7|7")]).await;
}

#[tokio::test]
async fn the_file_goes_before_a_wrong_content_type() {
    check("{ format: json }", FIELDS, &[(FORM, br#"{"a":"1"}"#, "1|~"), ("image/png", br#"{"a":"2"}"#, "2|~")]).await;
    check("{ format: form }", FIELDS, &[("application/json", b"a=1&b=2", "1|2")]).await;
    check("{ format: xml }", "{ a: $.body.a }", &[(TEXT, b"<a>1</a>", "1|~")]).await;
    check("{ format: text }", "{ a: $.body }", &[("application/json", b"{\"a", "{\"a|~")]).await;
    check("{ format: none }", "{ a: $.body, b: $.query.b }", &[("application/json", b"{", "~|~")]).await;
}

#[tokio::test]
async fn what_e_conomic_sends_without_quotes_is_read() {
    let body = br#"{customerId: "1", oldNumber: "1001", newNumber: '1002',}"#;
    check("{ format: json-lenient }", "{ a: $.body.oldNumber, b: $.body.newNumber }", &[("application/json", body, "1001|1002")])
        .await;
}

#[tokio::test]
async fn values_without_names_keep_their_places() {
    let bodies: [(&str, &[u8], &str); 7] = [
        (FORM, b"1001&1002", "1001|1002"),
        (FORM, b"1001&1001", "1001|1001"),
        (FORM, b"&1002", "|1002"),
        (FORM, b"1001&", "1001|"),
        (FORM, b"30088", "30088|~"),
        ("application/json", b"A%26B+C&%C3%B8", "A&B C|ø"),
        (FORM, b"1001&1002\r\n", "1001|1002"),
    ];
    check("{ format: positional, fields: [old, new] }", "{ a: $.body.old, b: $.body.new }", &bodies).await;
    let raw: [(&str, &[u8], &str); 1] = [(FORM, b"A%26B+C;100%", "A%26B+C|100%")];
    check("{ format: positional, fields: [a, b], separator: ';', decode: raw }", FIELDS, &raw).await;
    let app = app("{ format: positional, fields: [a, b] }", FIELDS).await;
    assert_eq!(send(&app, FORM, "1&2&3").await.status, 200);
    assert_eq!(app.states().await, ["dead"]);
    assert!(
        reasons(&app).await[0].starts_with("the body has 3 values between `&`; `fields` names 2"),
        "{:?}",
        reasons(&app).await
    );
}

#[tokio::test]
async fn a_row_of_csv_that_is_bad_leaves_the_others_good() {
    let set = "{ a: $.row.no, b: $.row.name, quantity: $.row.quantity, total: { from: $.row.total, as: decimal } }";
    let app = app("{ format: csv, separator: ';', split: { row: $.body } }", set).await;
    let body = "no;name;quantity;total\r\n1;\"S;E\";2;12.50\r\n2;Ærø;;abc\r\n\r\n3;\"\";4;0.10\r\n";
    assert_eq!(send(&app, "text/csv; charset=utf-8", body).await.status, 200);
    assert_eq!(written(&app).await, ["1|S;E", "3|"], "{:?}", reasons(&app).await);
    assert_eq!(app.states().await, ["done", "dead", "done"]);
    assert!(app.rows("rows").await.iter().any(|row| row["quantity"] == 2));
}

#[tokio::test]
async fn a_line_of_ndjson_that_is_bad_leaves_the_others_good() {
    let app = app("{ split: { item: $.body } }", "{ a: $.item.a, quantity: { from: $.item.n, as: integer } }").await;
    let body = "{\"a\":\"1\",\"n\":1}\n{\"a\":\"2\",\"n\":\"many\"}\n\n{\"a\":\"3\",\"n\":9007199254740993}\n";
    assert_eq!(send(&app, "application/x-ndjson", body).await.status, 200);
    assert_eq!(written(&app).await, ["1|~", "3|~"]);
    assert_eq!(app.states().await, ["done", "dead", "done"]);
    assert!(app.rows("rows").await.iter().any(|row| row["quantity"] == 9_007_199_254_740_993_i64));
    assert_eq!(send(&app, "application/x-ndjson", "{}\n{\"a\":").await.status, 200);
    assert!(reasons(&app).await[1].contains("line 2 of the body is not JSON"), "a body that broke off is refused whole");
}

#[tokio::test]
async fn a_list_of_more_records_than_a_delivery_may_have_is_one_dead_record() {
    let app = app("{ split: { item: $.body.items } }", "{ a: $.item }").await;
    let list = |count: usize| format!("{{\"items\":[{}]}}", vec!["1"; count].join(","));
    assert_eq!(send(&app, "application/json", list(10_001)).await.status, 200);
    assert_eq!(app.states().await, ["dead"]);
    assert_eq!(reasons(&app).await, ["split: `$.body.items` has 10001 elements; a delivery becomes 10000 records at most"]);
}

#[tokio::test]
async fn one_element_of_xml_is_split_like_many() {
    let app = app("{ format: xml, split: { line: $.body.order.line } }", "{ a: \"$.line['#text']\", b: \"$.line['@n']\" }").await;
    for body in ["<order><line n='1'>x</line></order>", "<order><line n='2'>y</line><line n='3'>z</line></order>", "<order/>"] {
        assert_eq!(send(&app, "application/xml", body).await.status, 200);
    }
    assert_eq!(written(&app).await, ["x|1", "y|2", "z|3"], "{:?}", reasons(&app).await);
    assert_eq!(app.states().await, ["done", "done", "done", "ignored"]);
}

#[tokio::test]
async fn what_is_a_list_is_one_however_often_it_occurs() {
    let payload = "{ lists: $.body.order.line }\nextract: { lines: \"{{ body.order.line | length }}\" }";
    let bodies: [(&str, &[u8], &str); 3] = [
        ("text/xml", b"<order><line>a</line></order>", "1|~"),
        ("text/xml", b"<order><line>a</line><line>b</line></order>", "2|~"),
        ("text/xml", b"<order></order>", "0|~"),
    ];
    check(payload, "{ a: \"{{ lines }}\" }", &bodies).await;
}

#[tokio::test]
async fn a_token_is_read_and_the_checker_says_that_nothing_verifies_it() {
    let app = app("{}", FIELDS).await;
    let text = file("{ format: jwt }", "{ a: $.body.header.alg, b: $.body.claims.sub }");
    let reloaded = app.reload(&[("routes.d/bodies.yaml".to_owned(), text)].into());
    let problems = hooktable::config::render::text(&reloaded.loaded.diagnostics, &reloaded.loaded.texts, false);
    assert!(problems.contains("warning[jwt-not-verified]"), "{problems}");
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIyMDQxNyJ9.c2ln";
    send(&app, "application/jwt", token).await;
    send(&app, "application/json", format!(r#"{{"data":"{token}"}}"#)).await;
    send(&app, "application/json", "a.b").await;
    assert_eq!(written(&app).await, ["HS256|20417", "HS256|20417"]);
    assert_eq!(app.states().await, ["done", "done", "dead"]);
}

#[tokio::test]
async fn letters_arrive_from_every_charset() {
    let bodies: [(&str, &[u8], &str); 4] = [
        ("application/json; charset=ISO-8859-1", b"{\"a\":\"\xC6r\xF8\"}", "Ærø|~"),
        ("application/json; charset=\"windows-1252\"", b"{\"a\":\"\x80\"}", "€|~"),
        ("application/json", b"\xEF\xBB\xBF{\"a\":\"\xC3\xB8\"}", "ø|~"),
        ("application/json", b"\xFF\xFE{\0\"\0a\0\"\0:\0\"\0\xF8\0\"\0}\0", "ø|~"),
    ];
    check("{}", FIELDS, &bodies).await;
    check("{ charset: iso-8859-1 }", FIELDS, &[(FORM, b"a=%F8&b=\xF8", "ø|ø")]).await;
    let app = app("{}", FIELDS).await;
    send(&app, "application/json", b"{\"a\":\"canary\xF8\"}").await;
    send(&app, "application/json; charset=klingon", b"{}").await;
    let reasons = reasons(&app).await;
    assert!(reasons[0].contains("byte 12 (from 0) is not UTF-8") && !reasons[0].contains("canary"), "{reasons:?}");
    assert!(reasons[1].contains("charset `klingon`, which is not known"), "{reasons:?}");
}

#[tokio::test]
async fn the_raw_body_is_there_for_whatever_reads_it() {
    let insert = "write: { insert: rows, set: { a: $.body.a } }";
    for options in [
        format!("id: \"{{{{ raw | sha256 | hex }}}}\"\n{insert}"),
        format!("lane: \"{{{{ raw | length }}}}\"\n{insert}"),
        format!("routes:\n  - when: \"'5' in raw\"\n    {insert}"),
        "routes:\n  - extract: { whole: $.raw }\n    write: { insert: rows, set: { a: \"{{ whole[6:7] }}\" } }".to_owned(),
    ] {
        let app = Builder::new("routes.d/bodies.yaml", &format!("auth: {{ none: a test }}\n{options}\n")).schema(SCHEMA);
        let app = app.start().await;
        assert_eq!(send(&app, "application/json", br#"{"a":"5"}"#).await.status, 200);
        assert_eq!(written(&app).await, ["5|~"], "{options}: {:?}", reasons(&app).await);
    }
}

#[tokio::test]
async fn an_empty_id_tells_no_deliveries_apart_so_none_is_taken_for_a_duplicate() {
    let text = format!("id: $.body.id\n{}", file("{}", "{ a: $.body.a }"));
    let app = Builder::new("routes.d/bodies.yaml", &text).schema(SCHEMA).start().await;
    for a in ["1", "2"] {
        let answer = send(&app, "application/json", format!("{{\"id\":\"\",\"a\":\"{a}\"}}")).await;
        assert!(answer.status == 200 && answer.body["duplicate"].is_null(), "{answer:?}");
    }
    assert_eq!(reasons(&app).await, ["`id`: `$.body.id` is empty"; 2]);
}

#[tokio::test]
async fn compressed_bodies_are_inflated_and_kept_as_they_came() {
    let app = app("{}", "{ a: $.body.a, b: $.raw }").await;
    let body = br#"{"a":"1"}"#;
    let zipped = gzip(body);
    assert_eq!(send_encoded(&app, "gzip", &zipped).await.status, 200);
    assert_eq!(send_encoded(&app, "identity", body).await.status, 200);
    assert_eq!(send_encoded(&app, "zstd", &zstd::encode_all(&body[..], 3).expect("memory")).await.status, 200);
    assert_eq!(send_encoded(&app, "br", &[&[0x0b, 0x04, 0x80][..], body, &[0x03]].concat()).await.status, 200);
    assert_eq!(send_encoded(&app, "gzip, zstd", &zstd::encode_all(&zipped[..], 3).expect("memory")).await.status, 200);
    assert_eq!(written(&app).await, [r#"1|{"a":"1"}"#; 5], "{:?}", reasons(&app).await);
    let first = app.records().await.pop().expect("a record").delivery;
    let stored = records::request(&app.tools.store, first).await.expect("the request");
    assert_eq!(stored.request.body, zipped, "signatures are over the bytes of the wire");
    let shown = records::show(&app.tools.store, first).await.expect("a delivery").expect("a delivery");
    assert!(format!("{shown:?}").contains(r#"\"a\":\"1\""#), "people see what it says: {shown:?}");
}

#[tokio::test]
async fn a_compressed_body_that_is_too_large_broken_or_unknown_is_refused() {
    let app = app("{}", FIELDS).await;
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 70_000, "64 MiB in {} bytes", bomb.len());
    let whole = gzip(br#"{"a":"1"}"#);
    for (encoding, body, status, told) in [
        ("gzip", &bomb[..], 413, "at most 1048576 bytes"),
        ("gzip", &whole[..20], 400, "expected one whole gzip stream"),
        ("br", br#"{"a":"1"}"#, 400, "expected one whole br stream"),
        ("compress", &whole[..], 400, "expected gzip, br, zstd, deflate or none"),
        ("gzip,gzip,gzip,gzip", &whole[..], 400, "expected at most 3"),
    ] {
        let answer = send_encoded(&app, encoding, body).await;
        assert_eq!(answer.status, status, "{encoding}: {answer:?}");
        assert!(answer.body["error"].as_str().is_some_and(|error| error.contains(told)), "{encoding}: {answer:?}");
    }
    assert!(app.records().await.is_empty(), "nothing of it is stored");
}

#[tokio::test]
async fn only_a_verified_sender_is_told_about_its_compressed_body() {
    let text = "auth: { token: $.headers.x_token, secret: { env: TOKEN } }\nwrite: { insert: rows, set: { a: $.body.a } }\n";
    let app = Builder::new("routes.d/bodies.yaml", text).schema(SCHEMA).environment("TOKEN", "sesame-canary").start().await;
    let headers = [("content-encoding", "gzip"), ("x-token", "wrong")];
    assert_eq!(app.send("POST", "/in/bodies", &headers, "no gzip").await.status, 401);
    let headers = [("content-encoding", "gzip"), ("x-token", "sesame-canary")];
    assert_eq!(app.send("POST", "/in/bodies", &headers, "no gzip").await.status, 400);
}

#[tokio::test]
async fn secrets_in_bodies_of_every_format_are_covered() {
    let list = (0..3).map(|row| format!("{row};pass-canary-{row}")).collect::<Vec<_>>().join("\n");
    for (payload, content_type, body) in [
        ("{ secret: $.body.pass }", FORM, "pass=pass-canary-0&a=7".to_owned()),
        ("{ secret: $.body.pass }", FORM, "pass=pass-canary-0&pass=pass-canary-1&a=7".to_owned()),
        ("{ secret: \"$.body.login['@pass']\" }", "text/xml", "<login pass='pass-canary-0'><a>7</a></login>".to_owned()),
        ("{ format: positional, fields: [a, pass], secret: $.body.pass }", TEXT, "7&pass-canary-0".to_owned()),
        ("{ format: json-lenient, secret: $.body.pass }", TEXT, "{pass: 'pass-canary-0', a: 7}".to_owned()),
        ("{ secret: $.body }", TEXT, "pass-canary-0".to_owned()),
        ("{ format: csv, separator: ';', secret: \"$.body[*].pass\" }", TEXT, format!("a;pass\n{list}\n7;x")),
        ("{ format: csv, separator: ';', secret: $.body.pass, split: { row: $.body } }", TEXT, format!("a;pass\n{list}\n7;x")),
        (
            "{ split: { row: $.body }, secret: $.body.pass }",
            "application/jsonl",
            "{\"pass\":\"pass-canary-0\",\"a\":7}".to_owned(),
        ),
        ("{ format: json, secret: $.body.pass }", FORM, "pass=pass-canary-0".to_owned()),
    ] {
        let app = app(payload, "{ a: $.query.a }").await;
        assert_eq!(send(&app, content_type, &body).await.status, 200);
        app.run_pending_deliveries(Duration::from_secs(1)).await;
        let delivery = app.records().await[0].delivery;
        let shown = records::show(&app.tools.store, delivery).await.expect("a delivery").expect("a delivery");
        assert_absent(format!("{shown:?} {:?}", app.records().await).as_bytes(), &["pass-canary-0", "pass-canary-1"], payload);
        assert!(!body.contains('7') || format!("{shown:?}").contains('7'), "{payload} hides no more than the secret");
    }
}

#[tokio::test]
async fn a_thousand_secrets_in_one_body_cover_the_whole_body() {
    let app = app("{ format: csv, secret: $.body.pass }", "{ a: $.query.a }").await;
    let body = (0..20_000).fold("no,pass\n".to_owned(), |body, row| body + &format!("shown-{row},pass-canary-{row}\n"));
    assert_eq!(send(&app, TEXT, &body).await.status, 200);
    let shown = records::show(&app.tools.store, app.records().await[0].delivery).await.expect("a delivery").expect("a delivery");
    assert!(!format!("{shown:?}").contains("canary") && !format!("{shown:?}").contains("shown-"), "{shown:?}");
}

#[tokio::test]
async fn any_body_ends_in_a_record() {
    let long = "[".repeat(500_000);
    let nested = "<a>".repeat(100_000);
    for payload in [
        "{ format: json }",
        "{ format: json-lenient }",
        "{ format: xml }",
        "{ format: csv }",
        "{ format: ndjson }",
        "{ format: form }",
    ] {
        let app = app(payload, "{ a: $.query.a }").await;
        for body in [long.as_bytes(), nested.as_bytes(), b"\0", b"\xFF\xFE", b"\"", b"&#x;", &[0xF8; 1000]] {
            assert_eq!(send(&app, TEXT, body).await.status, 200, "{payload}");
        }
        app.run_pending_deliveries(Duration::from_secs(1)).await;
        assert_eq!(app.records().await.len(), 7, "{payload}");
    }
}
