//! The files that come with the program, whole: route files with their tests and samples, templates, and the example's tables and
//! recorded answers. A template of the same name in the folder of templates takes the place of one of these.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rust_embed::RustEmbed;

use super::load::TemplateText;

#[derive(RustEmbed)]
#[folder = "routes.d"]
#[prefix = "routes.d/"]
struct Routes;

#[derive(RustEmbed)]
#[folder = "templates"]
struct Templates;

#[derive(RustEmbed)]
#[folder = "examples/timetracking"]
#[prefix = "examples/timetracking/"]
struct Example;

/// Adds those that are not there to a folder's own.
pub(super) fn add_missing(templates: &mut BTreeMap<String, TemplateText>) {
    for name in Templates::iter() {
        let Some(text) = Templates::get(&name).and_then(text_of) else { continue };
        let shipped = || TemplateText { path: format!("templates/{name}"), text };
        templates.entry(name.to_string()).or_insert_with(shipped);
    }
}

/// Every route file, test, sample, template and file of the example, by its path in the repository.
pub fn files() -> Vec<(String, Cow<'static, [u8]>)> {
    let routes = Routes::iter().filter_map(|path| Some((path.to_string(), Routes::get(&path)?.data)));
    let templates = Templates::iter().filter_map(|name| Some((format!("templates/{name}"), Templates::get(&name)?.data)));
    let example = Example::iter().filter_map(|path| Some((path.to_string(), Example::get(&path)?.data)));
    routes.chain(templates).chain(example).collect()
}

/// One of them, if it is text.
pub fn file(path: &str) -> Option<String> {
    Routes::get(path).or_else(|| Example::get(path)).and_then(text_of)
}

fn text_of(file: rust_embed::EmbeddedFile) -> Option<String> {
    String::from_utf8(file.data.into_owned()).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn add_all(folder: &Path, root: &Path, paths: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => add_all(&path, root, paths),
                false => drop(paths.insert(path.strip_prefix(root).expect("inside").to_string_lossy().into_owned())),
            }
        }
    }

    #[test]
    fn every_file_is_carried_as_it_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = BTreeSet::new();
        ["routes.d", "templates", "examples/timetracking"]
            .iter()
            .for_each(|folder| add_all(&root.join(folder), root, &mut paths));
        let carried = files();
        assert_eq!(carried.iter().map(|(path, _)| path.clone()).collect::<BTreeSet<_>>(), paths);
        for (path, content) in carried {
            assert_eq!(std::fs::read(root.join(&path)).expect("read"), *content, "{path}");
        }
    }
}
