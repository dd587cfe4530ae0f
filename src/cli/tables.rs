//! `hooktable tables`: what the routes expect of the tables, against what is there; the DDL that makes what is missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
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
        let expected = expected_of(&settings)?;
        let targets = Targets::open(settings.databases.clone(), Clock::system());
        if self.ddl.is_none() && !self.create {
            return compare_all(&targets, &expected, self.format).await;
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
        Ok(Exit::Fine)
    }
}

/// What all route files that compile expect, by database.
fn expected_of(settings: &Settings) -> anyhow::Result<BTreeMap<String, Vec<ExpectedTable>>> {
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
    Ok(expected_tables(&sources, surroundings.world()))
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

async fn compare_all(targets: &Targets, expected: &BTreeMap<String, Vec<ExpectedTable>>, format: Format) -> anyhow::Result<Exit> {
    let mut differences = Vec::new();
    let mut tables = 0;
    let mut dialect = Dialect::Sqlite;
    for (name, own) in expected {
        tables += own.len();
        let database = database(targets, name)?;
        dialect = database.dialect();
        let live = live(database, own).await?;
        differences.extend(compare(dialect, own, &live).into_iter().map(|one| (name.clone(), one.to_string())));
    }
    match format {
        Format::Json => {
            let object = |(database, difference): &(String, String)| json!({ "database": database, "difference": difference });
            output::json(&json!({ "tables": tables, "differences": differences.iter().map(object).collect::<Vec<_>>() }))?;
        }
        Format::Text => {
            differences.iter().for_each(|(database, difference)| output::data(&format!("{database}: {difference}")));
            let summary = match differences.len() {
                0 => "as the routes expect".to_owned(),
                count => {
                    format!(
                        "{}\nhint: `hooktable tables --ddl {}` prints what is missing",
                        output::counted(count, "difference"),
                        dialect.name()
                    )
                }
            };
            output::note(&format!("{}: {summary}", output::counted(tables, "table")));
        }
    }
    if tables == 0 && expected.is_empty() && format == Format::Text {
        bail!("no route file that compiles writes to a table")
    }
    Ok(if differences.is_empty() { Exit::Fine } else { Exit::Problems })
}
