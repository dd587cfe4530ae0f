//! The folder of route files on disk, and that of the templates they include: reading them, and telling cheaply whether they may
//! have changed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::load::{TemplateText, Texts};
use crate::config::yaml::LARGEST_FILE;

/// How deep folders of templates are looked into.
const DEEPEST_FOLDER: usize = 8;
/// The largest sample or test that is read, in bytes.
const LARGEST_COMPANION: u64 = 10 << 20;

/// A folder of route files.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    templates: Option<PathBuf>,
    /// Files that are looked at, and not read.
    companions: Vec<PathBuf>,
}

/// What the names, sizes, times and places of a folder's files say. Two equal ones most likely mean equal content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, Option<Looks>)>);

/// How a file looks from outside. Which one it is on the disk tells one from another that was moved into its place with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Looks {
    size: u64,
    changed_at: Option<SystemTime>,
    device: u64,
    inode: u64,
}

impl Folder {
    /// The folder at a path.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), templates: None, companions: Vec::new() }
    }

    /// The same with a folder of templates; one that does not exist has none.
    #[must_use]
    pub fn with_templates(self, templates: impl Into<PathBuf>) -> Self {
        Self { templates: Some(templates.into()), ..self }
    }

    /// The same with further files whose changes count: tests, samples, scripts.
    #[must_use]
    pub fn with_companions(self, companions: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { companions: companions.into_iter().collect(), ..self }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// That of its templates, whether it is there or not.
    pub fn templates(&self) -> Option<&Path> {
        self.templates.as_deref()
    }

    /// Reads all route files. A file that cannot be read is told of and does not hide the others; that the folder itself cannot be
    /// read is an error.
    pub fn read(&self) -> io::Result<Texts> {
        let mut texts = Texts::default();
        for path in self.list()? {
            let shown = shown(&path);
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("yml") => texts.misnamed.push(shown),
                _ => match read_text(&path, LARGEST_FILE as u64) {
                    Ok(text) => drop(texts.routes.insert(shown, text)),
                    Err(reason) => texts.unreadable.push((shown, reason)),
                },
            }
        }
        for (name, path) in self.list_templates() {
            let shown = shown(&path);
            match read_text(&path, LARGEST_FILE as u64) {
                Ok(text) => drop(texts.templates.insert(name, TemplateText { path: shown, text })),
                Err(reason) => texts.unreadable_templates.push((shown, reason)),
            }
        }
        Ok(texts)
    }

    /// What its files look like from outside.
    pub fn fingerprint(&self) -> io::Result<Fingerprint> {
        let templates = self.list_templates().into_iter().map(|(_, path)| path);
        let entries = self.list()?.into_iter().chain(templates).chain(self.companions.iter().cloned()).map(|path| {
            // follows links: a ConfigMap's files are links into a folder that is swapped
            let looks = fs::metadata(&path).ok().map(|metadata| Looks {
                size: metadata.len(),
                changed_at: metadata.modified().ok(),
                device: metadata.dev(),
                inode: metadata.ino(),
            });
            (path, looks)
        });
        Ok(Fingerprint(entries.collect()))
    }

    /// The `*.yaml` (and, wrongly named, `*.yml`) of the folder itself except `*.test.yaml`, sorted.
    fn list(&self) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let is_route = (name.ends_with(".yaml") && !name.ends_with(".test.yaml")) || name.ends_with(".yml");
            if is_route && !name.starts_with('.') {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// The templates by name, sorted; hidden files and folders are none.
    fn list_templates(&self) -> Vec<(String, PathBuf)> {
        let mut found = Vec::new();
        let mut waiting: Vec<(String, PathBuf, usize)> =
            self.templates.iter().map(|root| (String::new(), root.clone(), 0)).collect();
        while let Some((before, folder, depth)) = waiting.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
                let path = entry.path();
                let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|name| !name.starts_with('.')) else {
                    continue;
                };
                let name = format!("{before}{name}");
                if !path.is_dir() {
                    found.push((name, path));
                } else if depth < DEEPEST_FOLDER {
                    waiting.push((format!("{name}/"), path, depth + 1));
                }
            }
        }
        found.sort();
        found
    }
}

/// Reads a file that belongs to a route file: a sample or a test.
pub fn read_companion(path: &str) -> Result<String, String> {
    read_text(Path::new(path), LARGEST_COMPANION)
}

fn read_text(path: &Path, most: u64) -> Result<String, String> {
    let metadata = fs::metadata(path).map_err(describe)?;
    if !metadata.is_file() {
        return Err(if metadata.is_dir() { "is a folder, not a file" } else { "is no ordinary file" }.to_owned());
    }
    let size = metadata.len();
    if size > most {
        return Err(format!("has {size} bytes; at most {most} are read"));
    }
    String::from_utf8(fs::read(path).map_err(describe)?).map_err(|_| "is not UTF-8 text".to_owned())
}

fn describe(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "may not be read".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
