//! `hooktable send` against a running server.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::server::ServerProcess;

const SECRET: (&str, &str) = ("SHOP_SECRET", "of-the-shop");

/// Sources with every way of proving a sender that `send` can take on.
const FILES: &[(&str, &str)] = &[
    (
        "routes.d/shop.yaml",
        "auth: { signature: { at: $.headers.x_signature, signed: '{timestamp}.{body}', timestamp: { at: $.headers.x_time }, tolerance: 5m, algorithm: hmac-sha256, secret: { env: SHOP_SECRET } } }\n\
         event: $.body.kind\nonboarding: { samples: [samples/order.http] }\nroutes:\n  - { event: order, write: { upsert: shop_log, key: { id: $.body.id }, set: { what: $.event } } }\n",
    ),
    (
        "routes.d/samples/order.http",
        "POST /in/shop HTTP/1.1\nHost: provider.example\nX-Signature: old\n\n{\"id\":\"1\",\"kind\":\"order\"}\n",
    ),
    (
        "routes.d/shop.test.yaml",
        "tests:\n  - { name: another kind is ignored, send: { json: { id: \"2\", kind: other } }, expect: { state: ignored } }\n  - { name: no id, send: { json: { kind: order } }, expect: { state: dead } }\n",
    ),
    (
        "routes.d/keyed.yaml",
        "auth: { api_key: $.query.APIKey }\nwrite: { upsert: log, key: { id: $.body.id }, set: { what: $.tenant } }\n",
    ),
    (
        "routes.d/keyed.test.yaml",
        "tests:\n  - { name: kept, tenant: acme, send: { json: { id: \"3\" } }, expect: { state: done } }\n",
    ),
    (
        "routes.d/own.yaml",
        "receive: { path: \"/in/own/:which\" }\nauth: { token: $.headers.x_token, secret: hook }\nintegration: { is: $.params.which, fields: { hook: { secret: true } } }\n\
         write: { upsert: log, key: { id: $.body.id }, set: { what: $.tenant } }\n",
    ),
    (
        "routes.d/own.test.yaml",
        "tests:\n  - { name: kept, tenant: acme, send: { json: { id: \"4\" } }, expect: { state: done } }\n",
    ),
];

fn project() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in FILES {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }
    folder
}

fn hooktable(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hooktable"));
    let command =
        command.current_dir(folder).args(arguments).env(SECRET.0, SECRET.1).env("THEIRS", "their-hook").env("BAD", "htk_bad");
    let output = command.output().expect("the binary runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), text)
}

/// Runs `send` and checks its exit code and what it says.
fn check(folder: &Path, arguments: &[&str], code: i32, parts: &[&str]) -> String {
    let arguments: Vec<&str> = ["send"].iter().chain(arguments).copied().collect();
    let (found, text) = hooktable(folder, &arguments);
    assert_eq!(found, code, "{arguments:?}: {text}");
    parts.iter().for_each(|part| assert!(text.contains(part), "{arguments:?}: `{part}` is missing in\n{text}"));
    text
}

#[test]
fn a_sample_or_a_test_is_sent_with_correct_credentials_and_its_end_told() {
    let project = project();
    let folder = project.path();
    check(folder, &["shop"], 2, &["no server uses the data folder", "hooktable serve"]);
    let server = ServerProcess::start(folder, &[], &[SECRET]);
    let (code, text) = hooktable(folder, &["tables", "--create"]);
    assert_eq!(code, 0, "{text}");

    check(folder, &["shop"], 0, &["POST http://127.0.0.1:", "/in/shop\n", "→ 200", "order: done after 1 attempt"]);
    check(folder, &["shop", "--sample", "order"], 0, &["order: done"]);
    check(folder, &["shop", "--event", "other"], 0, &["other: ignored"]);
    check(folder, &["shop", "--test", "no id"], 1, &["order: dead", "$.body.id"]);
    check(folder, &["shop", "--event", "nothing"], 2, &["there is `order`, `other`"]);
    check(folder, &["shop", "--test", "nothing"], 2, &["another kind is ignored"]);
    check(folder, &["shp"], 2, &["did you mean `shop`?"]);

    check(folder, &["keyed", "--issue"], 2, &["needs a tenant", "tenants add"]);
    assert_eq!(hooktable(folder, &["tenants", "add", "acme"]).0, 0);
    check(folder, &["keyed"], 2, &["wants an API key", "--issue"]);
    let text = check(folder, &["keyed", "--issue"], 0, &["/in/keyed?APIKey=", "done after 1 attempt"]);
    assert!(!text.contains("htk_"), "the key is not shown: {text}");
    let (_, keys) = hooktable(folder, &["keys", "list", "--format", "json"]);
    let keys: serde_json::Value = serde_json::from_str(&keys).expect("JSON");
    assert!(keys.as_array().is_some_and(|keys| keys.len() == 1 && keys[0]["revoked_at"].is_string()), "it is revoked: {keys}");
    check(folder, &["keyed", "--key-env", "BAD"], 1, &["→ 401", "sources rejected keyed"]);

    check(folder, &["own"], 2, &["has no integration of `own`", "integrations add acme own"]);
    let (code, text) = hooktable(folder, &["integrations", "add", "acme", "own", "--secret-env", "hook=THEIRS"]);
    assert_eq!(code, 0, "{text}");
    let text = check(folder, &["own"], 0, &["→ 200", "done after 1 attempt"]);
    assert!(!text.contains("hti_") && !text.contains("their-hook"), "nothing secret is shown: {text}");

    let url = format!("http://{}", server.address);
    server.kill();
    check(folder, &["shop", "--url", &url], 2, &["it cannot be sent to", "does a server run there?"]);
}
