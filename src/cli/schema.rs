//! `hooktable schema`: the JSON Schema of the files people write, for editors that complete and check while one types.

use clap::{Args, ValueEnum};
use serde_json::Value as Json;

use super::output;
use super::run::Exit;
use crate::app::settings_file::SettingsFile;
use crate::config::schema;
use crate::routes::file::FileOptions;
use crate::routes::test_file::TestFile;

/// The flags of `schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// Which file it is for
    #[arg(long = "for", value_enum, default_value_t)]
    kind: Kind,
}

/// The files that people write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A route file, `NAME.yaml`
    #[default]
    Route,
    /// The tests beside it, `NAME.test.yaml`
    Test,
    /// The settings, `hooktable.yaml`
    Config,
}

impl Schema {
    /// Prints it.
    pub fn run(self) -> anyhow::Result<Exit> {
        output::json(&schema_of(self.kind))?;
        Ok(Exit::Fine)
    }
}

/// The schema of a kind of file, draft-07.
pub fn schema_of(kind: Kind) -> Json {
    match kind {
        Kind::Route => schema::of(&FileOptions::block(), "A route file of Hooktable"),
        Kind::Test => schema::of(&TestFile::block(), "The tests of a route file of Hooktable"),
        Kind::Config => schema::of(&SettingsFile::block(), "The settings of Hooktable"),
    }
}
