//! What every test of a source begins with: an empty state, tables without rows, the compiled route file. Made once and copied,
//! since making them takes much longer than most tests do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use super::project::{START, open_state, open_tables, surroundings, tables_path};
use crate::clock::Clock;
use crate::model::bundle::Bundle;
use crate::routes::load::Texts;
use crate::routes::registry::Registry;
use crate::steps::map::Destination;
use crate::target::Targets;
use crate::target::inspect::{ColumnSchema, TableSchema};

/// How long a connection that nobody has any more may take to close its file.
const CLOSING: Duration = Duration::from_secs(60);
/// How often is looked whether it did.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a test's project is a copy of.
pub struct Blank {
    /// The route table, with one source.
    pub registry: Arc<Registry>,
    /// The databases that writes can go to.
    pub destinations: Vec<Destination>,
    tables: BTreeMap<String, Vec<TableSchema>>,
    /// The databases whose rows can change without being written to.
    acting: Vec<String>,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Blank {
    /// Makes one; `schemas` are the scripts that make the tables, by database.
    pub async fn new(bundle: &Bundle, destinations: &[Destination], schemas: &[(String, String)]) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("there is no temporary folder: {error}"))?;
        let clock = Clock::manual(START);
        let registry = Arc::new(Registry::new(surroundings(destinations.to_vec()), clock.clone()));
        registry.reload(&Texts::of_bundle(bundle), &BTreeMap::new());
        open_state(folder.path(), clock.clone()).await?.close().await;
        let targets = open_tables(folder.path(), destinations, &clock);
        let tables = made(&targets, schemas).await?;
        drop(targets);
        for number in 0..destinations.len() {
            closed(&tables_path(folder.path(), number)).await?;
        }
        let acting = schemas.iter().filter(|(_, script)| acts(script)).map(|(database, _)| database.clone()).collect();
        let files = read(folder.path()).map_err(|error| format!("what tests begin with cannot be read: {error}"))?;
        Ok(Self { registry, destinations: destinations.to_vec(), tables, acting, files })
    }

    /// Lays a copy of its files into a folder.
    pub fn copy_into(&self, folder: &Path) -> io::Result<()> {
        self.files.iter().try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
    }

    /// The tables of a database.
    pub fn tables(&self, database: &str) -> &[TableSchema] {
        self.tables.get(database).map_or(&[], Vec::as_slice)
    }

    /// Whether triggers or references may change rows of a database that nobody wrote to.
    pub fn act_by_themselves(&self, database: &str) -> bool {
        self.acting.iter().any(|acting| acting == database)
    }

    /// The columns of a table; none when there is no such table.
    pub fn columns(&self, database: &str, table: &str) -> &[ColumnSchema] {
        let name = table.rsplit('.').next().unwrap_or(table);
        let found = self.tables(database).iter().find(|found| found.name.eq_ignore_ascii_case(name));
        found.map_or(&[], |found| &found.columns)
    }
}

/// Makes the tables and says what they look like.
async fn made(targets: &Targets, schemas: &[(String, String)]) -> Result<BTreeMap<String, Vec<TableSchema>>, String> {
    let mut tables = BTreeMap::new();
    for database in targets.names().filter_map(|name| targets.database(name)) {
        if let Some((_, script)) = schemas.iter().find(|(name, _)| name == database.name()) {
            let made = database.run_script(script).await;
            made.map_err(|failure| format!("the tables cannot be made: {}", failure.reason))?;
        }
        let found = database.tables().await.map_err(|failure| failure.reason)?;
        tables.insert(database.name().to_owned(), found);
    }
    Ok(tables)
}

/// Whether a script makes anything that acts by itself: rather taken for it than overlooked.
fn acts(script: &str) -> bool {
    let script = script.to_ascii_lowercase();
    ["trigger", "on delete", "on update"].iter().any(|word| script.contains(word))
}

/// Until a database is whole in its file: the last connection leaves no log behind when it closes, on a thread of its own.
async fn closed(path: &Path) -> Result<(), String> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = PathBuf::from(log);
    let started = Instant::now();
    while log.exists() {
        if started.elapsed() > CLOSING {
            return Err("the tables that tests begin with are still open".to_owned());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn read(folder: &Path) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.push((entry.file_name().into(), fs::read(entry.path())?));
    }
    Ok(files)
}
