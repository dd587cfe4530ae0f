//! Bad route files, each beside the message it must produce (`tests/diagnostics/README.md`), and good ones, which produce none.
//! `HOOKTABLE_BLESS=1` accepts what the messages are now.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hooktable::auth::secret::SecretReader;
use hooktable::config::diagnostic::Diagnostics;
use hooktable::config::render;
use hooktable::expr::template::Engine;
use hooktable::routes::compile::World;
use hooktable::routes::load::{Loaded, Texts, load};
use hooktable::steps::map::Destination;

/// An environment in which nothing is set.
struct NothingSet;

impl SecretReader for NothingSet {
    fn environment(&self, _: &str) -> Option<String> {
        None
    }
    fn file(&self, _: &str) -> Option<String> {
        None
    }
    fn today(&self) -> jiff::civil::Date {
        jiff::civil::date(2026, 11, 21)
    }
    fn stand_in(&self, _: &str) -> Option<String> {
        None
    }
}

/// Loads texts as `routes.d/`; the files that belong to them are looked for in `folder`.
fn loaded(texts: &Texts, folder: &Path) -> Loaded {
    let destinations = [Destination { name: "main".to_owned(), tenant_column: "tenant".to_owned() }];
    let files = |path: &str| {
        let file = match path.strip_prefix("routes.d/") {
            Some(below) => folder.join(below),
            None => folder.parent().unwrap_or(folder).join(path),
        };
        fs::read_to_string(file).map_err(|_| "is not there".to_owned())
    };
    let world = World { destinations: &destinations, secrets: &NothingSet, engine: &Engine::default(), files: &files };
    load(texts, world, &[])
}

fn one_file(path: &str, text: &str) -> Texts {
    Texts { routes: BTreeMap::from([(path.to_owned(), text.to_owned())]), ..Texts::default() }
}

/// All that `check` would print.
fn drawn(loaded: Loaded) -> String {
    let mut all = Diagnostics::default();
    all.append(loaded.diagnostics);
    all.append(loaded.unset);
    render::text(&all, &loaded.texts, false)
}

fn below_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("a readable folder").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The texts of a folder as the server would read them.
fn texts_of(folder: &Path) -> Texts {
    let mut texts = Texts::default();
    for name in names_in(folder) {
        let path = format!("routes.d/{name}");
        if name.ends_with(".yaml") && !name.ends_with(".test.yaml") {
            texts.routes.insert(path, read(&folder.join(name)));
        } else if name.ends_with(".yml") {
            texts.misnamed.push(path);
        }
    }
    texts
}

#[allow(clippy::disallowed_methods, reason = "whoever runs the tests says so from outside")]
pub(crate) fn blessing() -> bool {
    std::env::var("HOOKTABLE_BLESS").is_ok_and(|value| value == "1")
}

#[test]
fn every_bad_file_gets_its_message() {
    let folder = below_root("tests/diagnostics");
    let mut complaints = Vec::new();
    let mut cases = 0;
    for name in names_in(&folder) {
        let (texts, files, expected) = if let Some(stem) = name.strip_suffix(".yaml") {
            let text = read(&folder.join(&name));
            (one_file(&format!("routes.d/{name}"), &text), folder.clone(), folder.join(format!("{stem}.txt")))
        } else if folder.join(&name).is_dir() {
            let inside = folder.join(&name);
            (texts_of(&inside), inside.clone(), inside.join("expected.txt"))
        } else {
            continue;
        };
        cases += 1;
        let found = drawn(loaded(&texts, &files));
        if blessing() {
            fs::write(&expected, &found).expect("the expectation can be written");
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if found.is_empty() || found != wanted {
            complaints.push(format!("--- {name}: expected\n{wanted}\n+++ {name}: found\n{found}"));
        }
    }
    assert!(cases > 50, "only {cases} cases were found");
    assert!(complaints.is_empty(), "\n{}\nread them; HOOKTABLE_BLESS=1 accepts them\n", complaints.join("\n"));
}

#[test]
fn the_shipped_files_give_no_diagnostics() {
    let folder = below_root("routes.d");
    let loaded = loaded(&texts_of(&folder), &folder);
    assert!(loaded.files.iter().all(|file| file.source.is_some()));
    assert_eq!(render::text(&loaded.diagnostics, &loaded.texts, false), "");
}

/// The two files at the top of the language's description, as printed there.
#[test]
fn the_printed_files_give_no_diagnostics() {
    let smallest = "auth: { token: $.headers.x_token, secret: { env: SENSORS_TOKEN } }\n\
                    write: { insert: sensor_log, set: { received_at: $.received_at, raw: $.body } }\n";
    let nowhere = Path::new("/nonexistent");
    for (path, text) in [("routes.d/sensors.yaml", smallest), ("routes.d/economic.yaml", ECONOMIC)] {
        let loaded = loaded(&one_file(path, text), nowhere);
        assert_eq!(render::text(&loaded.diagnostics, &loaded.texts, false), "", "{path}");
        assert!(loaded.files.iter().all(|file| file.source.is_some() && file.unset), "{path}");
    }
}

const ECONOMIC: &str = r#"# routes.d/economic.yaml
title: e-conomic
receive: { path: /, query: { APISource: eConomic* } }       # SmartTID's URL: /?APIKey=…&APISource=…
auth: { api_key: $.query.APIKey }                            # a key we issued; it says which tenant this is
integration:                                                 # what each customer's set-up holds; asked for when onboarding
  fields:
    grant_token: { label: Agreement grant token, secret: true, from: $.body.eConomicAPIKey }
secrets:                                                     # what the operator holds
  app_token: { env: ECONOMIC_APP_SECRET_TOKEN }
apis:
  economic:
    base: https://restapi.e-conomic.com
    headers:
      X-AppSecretToken: "{{ secret.app_token }}"
      X-AgreementGrantToken: "{{ secret.grant_token }}"
    limits: [10000/m, 50000/d]
    absent: gone                                             # a 404 means that the thing is gone
event: $.query.APISource
extract:
  number: { from: $.body.number, as: integer }
lane: "order/{{ number }}"                                   # one at a time per order, in order…
coalesce: 2s                                                 # …and ten updates of it within two seconds are one fetch
routes:
  - event: eConomicOrder
    enrich:
      order: { get: ["/orders/drafts/{{ number }}", "/orders/sent/{{ number }}", "/orders/archived/{{ number }}"] }
    write:
      - upsert: jobs
        key: { job_no: $.number }
        set:
          description: $.order.notes.heading
          customer_no: $.order.customer.customerNumber
          net_amount: $.order.netAmount
          delivery_date: $.order.delivery.deliveryDate
      - replace: job_lines                                   # the rows `of` this job become exactly this list
        of: { job_no: $.number }
        each: { line: $.order.lines }
        key: { line_no: $.line.lineNumber }
        set: { product_no: $.line.product.productNumber, quantity: $.line.quantity }
"#;
