//! `hooktable secrets`: the key that everything sealed hangs on.

use clap::Subcommand;

use super::flags::{Format, GlobalFlags, ask, unexpected};
use super::output;
use super::run::Exit;
use crate::app::operation::{Answer, Operation, RotatedMasterKey};
use crate::app::settings::{Settings, environment_variable};
use crate::secret::Secret;

/// Where the new master key stands when it is given.
const NEW_MASTER_KEY: &str = "HOOKTABLE_NEW_MASTER_KEY";

/// What can be done with the master key.
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Replace the master key, also while the server runs: by a new random one in the key file, or by the one in
    /// HOOKTABLE_NEW_MASTER_KEY
    RotateMasterKey {
        /// How it is told
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

impl Secrets {
    /// Does it.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let Self::RotateMasterKey { format } = self;
        let settings = global.settings()?;
        let new = environment_variable(NEW_MASTER_KEY).filter(|text| !text.is_empty()).map(Secret::new);
        let operation = Operation::RotateMasterKey { new: new.map(Into::into) };
        let Answer::RotatedMasterKey(rotated) = ask(&settings, operation).await? else { return Err(unexpected()) };
        match format {
            Format::Json => output::json(&rotated)?,
            Format::Text => tell(&rotated, &settings),
        }
        Ok(Exit::Fine)
    }
}

fn tell(rotated: &RotatedMasterKey, settings: &Settings) {
    let count = usize::try_from(rotated.data_keys).unwrap_or(usize::MAX);
    output::note(&format!("the master key is replaced; {} sealed with it now", output::counted(count, "data key")));
    if rotated.was_given {
        output::note("before the next start, put the new key into HOOKTABLE_MASTER_KEY and remove HOOKTABLE_NEW_MASTER_KEY");
    } else {
        let file = settings.key_file();
        output::note(&format!("it stands in `{}`; keep a copy apart from backups of the state", file.display()));
    }
    output::note("a backup of the state from before still needs the old key; a new one does not");
}
