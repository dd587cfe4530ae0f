//! Checking stays quick when a folder grows: `hooktable check` over a thousand route files of sixty lines, which takes less than a second on an
//! idle machine. `cargo bench --bench routes`.

#![allow(clippy::print_stdout, reason = "figures are what it is for")]

#[path = "support/route_file.rs"]
mod route_file;

use std::process::Command;
use std::time::Instant;

fn main() {
    for count in [100, 1000] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("routes.d")).expect("a folder");
        for number in 0..count {
            let path = folder.path().join(format!("routes.d/source{number}.yaml"));
            std::fs::write(path, route_file::route_file(number)).expect("written");
        }
        let mut took: Vec<_> = (0..5)
            .map(|_| {
                let started = Instant::now();
                let done = Command::new(env!("CARGO_BIN_EXE_hooktable")).arg("check").current_dir(folder.path()).output();
                assert!(done.expect("it runs").status.success());
                started.elapsed()
            })
            .collect();
        took.sort_unstable();
        println!("hooktable check of {count} files of sixty lines: best {:.0?}, median {:.0?}", took[0], took[2]);
    }
}
