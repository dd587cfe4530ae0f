//! The demo's project, written from what the program carries, and its opening act: a simulated e-conomic, one webhook, and the rows
//! that must come of it. What starts it and shows it is the command line's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::compare::{Row, TableDifference, compare, text_of};
use super::send::{WebhookBody, WebhookRequest};
use crate::routes::shipped;
use crate::target::inspect::ColumnKind;

/// The tenant that the demo plays.
pub const TENANT: &str = "acme";
/// The source that it sends to.
pub const SOURCE: &str = "economic";
/// The order that changes.
pub const ORDER: u64 = 20417;
/// The provider's origin, which is simulated.
pub const ORIGIN: &str = "https://restapi.e-conomic.com";
/// The tables that are written, with the columns that tell their rows apart.
pub const TABLES: [(&str, &str); 2] = [("jobs", "job_no"), ("job_lines", "line_no")];
/// The simulated origins that answer from a folder of the example.
const FOLDERS: [(&str, &str); 2] = [(ORIGIN, "economic"), ("https://my.clockodo.com", "clockodo")];
/// The script that makes the tables.
const SCHEMA: &str = "examples/timetracking/schema/sqlite.sql";
/// What the simulated providers have at the start.
const BEFORE: &str = "examples/timetracking/apis/";
/// What is different after the change.
const AFTER: &str = "examples/timetracking/apis-after/";

/// Where the demo's files are.
#[derive(Clone, Debug)]
pub struct DemoFiles {
    root: PathBuf,
}

/// What the demo has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The order as it was first.
    Before,
    /// One line changed, another removed.
    After,
}

impl DemoFiles {
    /// Writes them; what is there already is kept, but for what the providers answer.
    pub fn write(root: &Path) -> io::Result<Self> {
        let files = Self { root: root.to_owned() };
        for (path, content) in shipped::files() {
            let path = root.join(path);
            if !path.exists() {
                write(&path, &content)?;
            }
        }
        files.simulate(BEFORE)?;
        Ok(files)
    }

    /// Changes the order at the provider.
    pub fn change_order(&self) -> io::Result<()> {
        self.simulate(AFTER)
    }

    fn simulate(&self, folder: &str) -> io::Result<()> {
        let files = shipped::files();
        let answers = files.iter().filter_map(|(path, content)| Some((path.strip_prefix(folder)?, content)));
        answers.into_iter().try_for_each(|(path, content)| write(&self.providers().join(path), content))
    }

    /// The script that makes the tables.
    pub fn schema(&self) -> io::Result<String> {
        fs::read_to_string(self.root.join(SCHEMA))
    }

    /// The folder of templates.
    pub fn templates(&self) -> PathBuf {
        self.root.join("templates")
    }

    /// The folder of route files.
    pub fn routes(&self) -> PathBuf {
        self.root.join("routes.d")
    }

    /// The folder of state and tables.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The folder that a simulated origin answers from, made if need be: a provider of the example has one there, any other an empty
    /// one of its host's name.
    pub fn simulated(&self, origin: &str) -> io::Result<PathBuf> {
        let known = FOLDERS.iter().find(|(known, _)| *known == origin).map(|(_, folder)| (*folder).to_owned());
        let host = || origin.split("://").last().unwrap_or_default().replace([':', '/'], "_");
        let folder = self.providers().join(known.unwrap_or_else(host));
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The folder of the simulated providers.
    pub fn providers(&self) -> PathBuf {
        self.root.join("simulated")
    }

    /// The orders of the simulated e-conomic.
    pub fn orders(&self) -> PathBuf {
        self.providers().join("economic/orders")
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)
}

/// e-conomic's webhook: it says which order changed, and no more.
pub fn webhook(api_key: &str, order: u64) -> WebhookRequest {
    WebhookRequest {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: vec![("APIKey".to_owned(), api_key.to_owned()), ("APISource".to_owned(), "eConomicOrder".to_owned())],
        headers: Vec::new(),
        client: None,
        body: WebhookBody::Json(json!({ "eConomicAPIKey": "demo-grant-token", "number": order.to_string() })),
    }
}

/// Whether a row is of the demo's order; others may be there from another run.
pub fn is_own(row: &Row) -> bool {
    row.get("tenant").is_some_and(|tenant| tenant == TENANT) && row.get("job_no").is_some_and(|number| *number == ORDER)
}

/// How the rows of a table differ from what they must be.
pub fn check(table: &str, rows: &[Row], stage: Stage) -> Option<TableDifference> {
    let kind = |column: &str| match column {
        "net_amount" | "quantity" => ColumnKind::Decimal,
        "job_no" | "line_no" => ColumnKind::Integer,
        _ => ColumnKind::Text,
    };
    compare(table, &expected(table, stage), rows, kind)
}

fn expected(table: &str, stage: Stage) -> Vec<Row> {
    let (net_amount, quantity) = match stage {
        Stage::Before => ("3100.00", "60.0"),
        Stage::After => ("3480.00", "80.0"),
    };
    let line = |number: u64, product: &str, quantity: &str| json!({ "tenant": TENANT, "job_no": ORDER, "line_no": number, "product_no": product, "quantity": quantity });
    let rows = match (table, stage) {
        ("jobs", _) => vec![json!({
            "tenant": TENANT,
            "job_no": ORDER,
            "description": "Tag, blok A",
            "customer_no": "1001",
            "net_amount": net_amount,
            "delivery_date": "2026-11-27",
        })],
        (_, Stage::Before) => {
            vec![line(1, "BR_45x95", quantity), line(2, "SKR-580", "10.0"), line(3, "MONTAGE", "12.5")]
        }
        (_, Stage::After) => vec![line(1, "BR_45x95", quantity), line(3, "MONTAGE", "12.5")],
    };
    rows.into_iter().filter_map(|row| if let Json::Object(row) = row { Some(row) } else { None }).collect()
}

/// What happened to the rows of a table, in words: `line_no 1: quantity 60.0 → 80.0`. `key` tells rows apart.
pub fn changes(key: &str, before: &[Row], after: &[Row]) -> Vec<String> {
    let same = |row: &Row, rows: &[Row]| rows.iter().find(|other| other.get(key) == row.get(key)).cloned();
    let name = |row: &Row| format!("{key} {}", row.get(key).map(text_of).unwrap_or_default());
    let mut changes = Vec::new();
    for row in before {
        let Some(now) = same(row, after) else {
            changes.push(format!("{}: removed", name(row)));
            continue;
        };
        for (column, value) in row.iter().filter(|(column, value)| now.get(*column) != Some(value)) {
            let new = now.get(column).map(text_of).unwrap_or_default();
            changes.push(format!("{}: {column} {} → {new}", name(row), text_of(value)));
        }
    }
    changes.extend(after.iter().filter(|row| same(row, before).is_none()).map(|row| format!("{}: added", name(row))));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_must_be_exactly_the_expected_ones() {
        for (table, _) in TABLES {
            for stage in [Stage::Before, Stage::After] {
                let rows = expected(table, stage);
                assert_eq!(check(table, &rows, stage), None);
                let mut wrong = rows.clone();
                wrong[0].insert("job_no".to_owned(), json!(1));
                assert!(check(table, &wrong, stage).is_some(), "another job");
                assert!(check(table, &rows[1..], stage).is_some(), "a row is missing");
                wrong.push(rows[0].clone());
                assert!(check(table, &wrong, stage).is_some(), "a row too many");
            }
            let stale = expected(table, Stage::Before);
            assert!(check(table, &stale, Stage::After).is_some(), "the change did not arrive");
        }
    }

    #[test]
    fn what_changed_is_said_in_words() {
        let (before, after) = (expected("job_lines", Stage::Before), expected("job_lines", Stage::After));
        assert_eq!(changes("line_no", &before, &after), ["line_no 1: quantity 60.0 → 80.0", "line_no 2: removed"]);
        assert_eq!(changes("line_no", &after, &before), ["line_no 1: quantity 80.0 → 60.0", "line_no 2: added"]);
    }

    #[test]
    fn route_files_that_somebody_changed_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = DemoFiles::write(folder.path()).expect("written");
        let route = files.routes().join("economic.yaml");
        fs::write(&route, "title: mine\n").expect("written");
        files.change_order().expect("changed");
        let order = files.orders().join("sent/20417.json");
        assert!(fs::read_to_string(&order).expect("read").contains("3480.00"));
        DemoFiles::write(folder.path()).expect("written again");
        assert_eq!(fs::read_to_string(route).expect("read"), "title: mine\n");
        assert!(fs::read_to_string(order).expect("read").contains("3100.00"));
    }
}
