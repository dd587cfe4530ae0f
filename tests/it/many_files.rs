//! The route files that `benches/routes.rs` and `benches/micro.rs` measure have no problems; otherwise they would measure something else.

use crate::support::project::Project;

#[path = "../../benches/support/route_file.rs"]
mod route_file;

#[test]
fn the_measured_files_have_no_problems() {
    let mut project = Project::new();
    for number in 0..20 {
        project = project.file(&format!("routes.d/source{number}.yaml"), &route_file::route_file(number));
    }
    let said = project.run(&["check"]);
    assert_eq!((said.code, said.data), (0, "20 route files, no problems\n".to_owned()), "{}", said.notes);
}
