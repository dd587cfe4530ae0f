//! `hooktable tables`: what the routes expect of the tables, against what is there; the DDL that makes what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::flags::{Format, GlobalFlags};
use super::output;
use super::run::Exit;
use crate::app::settings::{EnvironmentSecrets, Settings};
use crate::app::sources::surroundings;
use crate::clock::Clock;
use crate::routes::expected::expected_tables;
use crate::routes::load::load;
use crate::target::compare::compare;
use crate::target::ddl::{ExpectedTable, missing};
use crate::target::dialect::Dialect;
use crate::target::inspect::TableSchema;
use crate::target::{Database, Targets};

/// The flags of `tables`.
#[derive(Debug, Args)]
pub struct Tables {
    /// Print the statements that make what is missing, for this engine
    #[arg(long, value_enum, value_name = "ENGINE", conflicts_with = "create")]
    ddl: Option<Engine>,
    /// Make what is missing; nothing else is ever altered
    #[arg(long)]
    create: bool,
    /// How differences are told
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["ddl", "create"])]
    format: Format,
}

/// The engines that DDL can be written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// SQLite 3
    Sqlite,
    /// PostgreSQL
    Postgres,
    /// MySQL and MariaDB
    #[value(alias = "mariadb")]
    Mysql,
}

impl Engine {
    fn dialect(self) -> Dialect {
        match self {
            Self::Sqlite => Dialect::Sqlite,
            Self::Postgres => Dialect::Postgres,
            Self::Mysql => Dialect::Mysql,
        }
    }
}

impl Tables {
    /// Compares, prints or makes.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        let Expected { tables: expected, have_errors } = expected_of(&settings)?;
        let exit = if have_errors { Exit::Problems } else { Exit::Fine };
        let targets = Targets::open(settings.databases.clone(), Clock::system());
        if self.ddl.is_none() && !self.create {
            let is_alike = compare_all(&targets, &expected, self.format).await?;
            return Ok(if is_alike { exit } else { Exit::Problems });
        }
        let mut statements = Vec::new();
        for (name, tables) in &expected {
            let database = database(&targets, name)?;
            let dialect = self.ddl.map_or(database.dialect(), Engine::dialect);
            // what another engine needs has nothing to do with what is there
            let there = if dialect == database.dialect() { live(database, tables).await? } else { Vec::new() };
            let own = missing(dialect, tables, &there);
            if self.create && !own.is_empty() {
                let made = database.run_script(&own.join("\n")).await;
                made.map_err(|failure| anyhow::anyhow!("the database `{name}` refused: {failure}"))?;
            }
            if !own.is_empty() && expected.len() > 1 {
                statements.push(format!("-- database `{name}`"));
            }
            statements.extend(own);
        }
        if statements.is_empty() {
            output::note("nothing is missing");
        } else {
            output::data(&statements.join("\n\n"));
        }
        if self.create && !statements.is_empty() {
            output::note("made");
        }
        Ok(exit)
    }
}

/// What all route files that compile expect, by database.
struct Expected {
    tables: BTreeMap<String, Vec<ExpectedTable>>,
    /// Whether there are others.
    have_errors: bool,
}

fn expected_of(settings: &Settings) -> anyhow::Result<Expected> {
    let texts = settings.folder().read().with_context(|| {
        format!("cannot read the folder of route files `{}`\nhint: `--routes` says where it is", settings.routes.display())
    })?;
    let surroundings = surroundings(settings, Box::new(EnvironmentSecrets::new(Clock::system())));
    let loaded = load(&texts, surroundings.world(), &[]);
    let (errors, _) = output::tally(&loaded.diagnostics);
    if errors > 0 {
        output::problems(&loaded.diagnostics, &loaded.texts);
        output::note("the files with errors are left out");
    }
    let sources: Vec<_> = loaded.files.iter().filter_map(|file| file.source.as_ref().map(Arc::clone)).collect();
    Ok(Expected { tables: expected_tables(&sources, surroundings.world()), have_errors: errors > 0 })
}

fn database<'t>(targets: &'t Targets, name: &str) -> anyhow::Result<&'t Database> {
    targets.database(name).with_context(|| format!("there is no database `{name}` in the settings"))
}

async fn live(database: &Database, expected: &[ExpectedTable]) -> anyhow::Result<Vec<TableSchema>> {
    let named: Vec<_> = expected.iter().map(|table| table.name.as_str()).collect();
    database
        .tables_and(&named)
        .await
        .map_err(|failure| anyhow::anyhow!("the database `{}` cannot be read: {failure}", database.name()))
}

/// Tells the differences; whether there are none.
async fn compare_all(targets: &Targets, expected: &BTreeMap<String, Vec<ExpectedTable>>, format: Format) -> anyhow::Result<bool> {
    let mut differences = Vec::new();
    let mut engines = BTreeSet::new();
    for (name, own) in expected {
        let database = database(targets, name)?;
        let live = live(database, own).await?;
        let found = compare(database.dialect(), own, &live);
        if !found.is_empty() {
            engines.insert(database.dialect().name());
        }
        differences.extend(found.into_iter().map(|one| (name.clone(), one.to_string())));
    }
    let tables: usize = expected.values().map(Vec::len).sum();
    match format {
        Format::Json => {
            let object = |(database, difference): &(String, String)| json!({ "database": database, "difference": difference });
            output::json(&json!({ "tables": tables, "differences": differences.iter().map(object).collect::<Vec<_>>() }))?;
        }
        Format::Text => {
            differences.iter().for_each(|(database, difference)| output::data(&format!("{database}: {difference}")));
            output::note(&summary(tables, differences.len(), &engines));
        }
    }
    Ok(differences.is_empty())
}

fn summary(tables: usize, differences: usize, engines: &BTreeSet<&str>) -> String {
    if tables == 0 {
        return "no route file that compiles writes to a table".to_owned();
    }
    let tables = output::counted(tables, "table");
    if differences == 0 {
        return format!("{tables}: as the routes expect");
    }
    let commands: Vec<String> = engines.iter().map(|engine| format!("`hooktable tables --ddl {engine}`")).collect();
    let prints = if commands.len() == 1 { "prints" } else { "print" };
    let (differences, commands) = (output::counted(differences, "difference"), commands.join(" and "));
    format!("{tables}: {differences}\nhint: {commands} {prints} what is missing")
}
