//! `hooktable demo --once` from outside.

use std::path::Path;
use std::process::{Command, Output};

/// In a folder of its own: everything that it needs is inside the program.
fn demo(folder: &Path, arguments: &[&str]) -> (Output, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hooktable"));
    command.current_dir(folder).args(["demo", "--once", "--data", "kept", "--listen", "127.0.0.1:0"]).args(arguments);
    let output = command.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output, text)
}

#[test]
fn the_demo_shows_rows_of_every_source_and_says_that_they_are_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let (output, text) = demo(folder.path(), &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let row = |columns: &[&str]| {
        let first_act = text.lines().take_while(|line| !line.contains("Every source"));
        first_act.filter(|line| line.contains('│') && columns.iter().all(|column| line.contains(column))).count()
    };
    assert_eq!((row(&["Tag, blok A", "3100.00"]), row(&["Tag, blok A", "3480.00"])), (1, 1), "{text}");
    assert_eq!((row(&["BR_45x95", "60.0"]), row(&["BR_45x95", "80.0"])), (1, 1), "{text}");
    assert_eq!((row(&["SKR-580", "10.0"]), row(&["MONTAGE", "12.5"])), (1, 2), "{text}");
    for part in ["orders/drafts/20417 → 404", "orders/sent/20417 → 200", "line_no 2: removed", "✓ every row is as it must be"]
    {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    let routes = Path::new(env!("CARGO_MANIFEST_DIR")).join("routes.d");
    for entry in std::fs::read_dir(routes).expect("the shipped files") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if name.ends_with(".test.yaml") {
            let route = name.replace(".test.yaml", ".yaml");
            assert!(text.lines().any(|line| line.ends_with(&format!("  {route}"))), "{route} is missing in:\n{text}");
        }
    }
    assert!(
        text.contains("the secret in the body is answered without a token  → 200 answered, shows staff the secret 00000000-"),
        "the handshake:\n{text}"
    );
    assert!(text.trim_end().ends_with(": all rows as expected") && !text.contains('✗'), "{text}");
    assert!(!text.contains("htk_") && !text.contains('\u{1b}'), "neither key nor colours:\n{text}");
    assert!(folder.path().join("kept/data/tables.db").exists() && folder.path().join("kept/routes.d/economic.yaml").exists());
    a_wrong_expectation_is_told(folder.path());
}

/// In what another demo has left, whose route files and tests were changed since.
fn a_wrong_expectation_is_told(folder: &Path) {
    let tests = folder.join("kept/routes.d/timemoto.test.yaml");
    let text = std::fs::read_to_string(&tests).expect("it was kept");
    std::fs::write(&tests, text.replace("name: Test Person, email: test@example.org", "name: Somebody")).expect("written");
    let (output, text) = demo(folder, &["--full"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("✗ user.inserted: a new person is one of the employees") && text.contains("Somebody"), "{text}");
    let last = text.trim_end().lines().last().expect("a line");
    assert!(last.ends_with(": 1 webhook not as expected"), "{text}");
    assert!(text.contains("not played, its provider fails first") && text.contains("rows: "), "{text}");
}
