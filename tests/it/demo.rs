//! `hooktable demo --once` from outside.

use std::process::Command;

#[test]
fn the_demo_shows_the_rows_twice_and_says_that_they_are_right() {
    // in an empty folder: everything that it needs is inside the program
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hooktable"));
    command.current_dir(folder.path()).args(["demo", "--once", "--data", "kept", "--listen", "127.0.0.1:0"]);
    let output = command.output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{errors}");
    let row = |columns: &[&str]| {
        text.lines().filter(|line| line.contains('│') && columns.iter().all(|column| line.contains(column))).count()
    };
    assert_eq!((row(&["Tag, blok A", "3100.00"]), row(&["Tag, blok A", "3480.00"])), (1, 1), "{text}");
    assert_eq!((row(&["BR_45x95", "60.0"]), row(&["BR_45x95", "80.0"])), (1, 1), "{text}");
    assert_eq!((row(&["SKR-580", "10.0"]), row(&["MONTAGE", "12.5"])), (1, 2), "{text}");
    for part in ["orders/drafts/20417 → 404", "orders/sent/20417 → 200", "line_no 2: removed", "✓ every row is as it must be"]
    {
        assert!(text.contains(part), "`{part}` is missing in:\n{text}");
    }
    assert!(!text.contains("htk_") && !text.contains('\u{1b}'), "neither key nor colours:\n{text}");
    assert!(folder.path().join("kept/data/tables.db").exists() && folder.path().join("kept/routes.d/economic.yaml").exists());
}
