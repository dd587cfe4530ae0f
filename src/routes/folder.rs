//! The folder of route files on disk: reading it, and telling cheaply whether it may have changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::load::Texts;
use crate::config::yaml::LARGEST_FILE;

/// The largest sample or test that is read, in bytes.
const LARGEST_COMPANION: u64 = 10 << 20;

/// A folder of route files.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

/// What the names, sizes and times of a folder's files say. Two equal ones most likely mean equal content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, u64, Option<SystemTime>)>);

impl Folder {
    /// The folder at a path.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.root
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
        Ok(texts)
    }

    /// What its files look like from outside.
    pub fn fingerprint(&self) -> io::Result<Fingerprint> {
        let entries = self.list()?.into_iter().map(|path| {
            // follows links: a ConfigMap's files are links into a folder that is swapped
            let metadata = fs::metadata(&path).ok();
            let size = metadata.as_ref().map_or(0, fs::Metadata::len);
            (path, size, metadata.and_then(|metadata| metadata.modified().ok()))
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
            if is_route && !name.starts_with('.') && !path.is_dir() {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }
}

/// Reads a file that belongs to a route file: a sample or a test.
pub fn read_companion(path: &str) -> Result<String, String> {
    read_text(Path::new(path), LARGEST_COMPANION)
}

fn read_text(path: &Path, most: u64) -> Result<String, String> {
    let size = fs::metadata(path).map_err(describe)?.len();
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
