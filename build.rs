//! The program carries these folders whole (`src/routes/shipped.rs`): it is built anew when a file of them changes, comes or goes.

fn main() {
    for folder in ["routes.d", "templates", "examples/timetracking"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
