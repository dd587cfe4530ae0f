//! `hooktable users`: who may sign in to the portal.

use clap::Subcommand;
use serde_json::json;

use super::flags::{Format, GlobalFlags, ask, unexpected};
use super::output;
use super::run::Exit;
use super::secret_input::new_password;
use crate::app::operation::{Answer, Operation};
use crate::app::settings::Settings;
use crate::app::users::UserOperation;
use crate::model::user::{Role, UserSummary};

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum Users {
    /// Add a user; the password is asked for, or is a line of standard input
    Add {
        /// What the user signs in with: an e-mail address, say
        name: String,
        /// `admin` may do everything, `support` everything but users, `viewer` only look
        #[arg(long)]
        role: Role,
        /// How it is told
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// List all users
    List {
        /// How they are listed
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Give a user another role
    SetRole {
        /// What the user signs in with
        name: String,
        /// `admin`, `support` or `viewer`
        role: Role,
        /// How it is told
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Give a user another password; it is asked for, or is a line of standard input
    SetPassword {
        /// What the user signs in with
        name: String,
        /// How it is told
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Remove a user
    Remove {
        /// What the user signs in with
        name: String,
        /// How it is told
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

impl Users {
    /// Does it.
    pub async fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        match self {
            Self::Add { name, role, format } => {
                let user = change(&settings, UserOperation::Add { name, role, password: new_password()? }).await?;
                tell(&format!("added `{}` as {}", user.name, user.role), &user, format)?;
            }
            Self::List { format } => {
                let Answer::Users(users) = ask(&settings, Operation::Users(UserOperation::List)).await? else {
                    return Err(unexpected());
                };
                match format {
                    Format::Json => output::json(&users)?,
                    Format::Text => list(&users),
                }
            }
            Self::SetRole { name, role, format } => {
                let user = change(&settings, UserOperation::SetRole { name, role }).await?;
                tell(&format!("`{}` is {} now", user.name, user.role), &user, format)?;
            }
            Self::SetPassword { name, format } => {
                let user = change(&settings, UserOperation::SetPassword { name, password: new_password()? }).await?;
                tell(&format!("`{}` has a new password", user.name), &user, format)?;
            }
            Self::Remove { name, format } => {
                let answer = ask(&settings, Operation::Users(UserOperation::Remove { name })).await?;
                let Answer::RemovedUser(name) = answer else { return Err(unexpected()) };
                output::note(&format!("removed `{name}`"));
                if format == Format::Json {
                    output::json(&json!({ "removed": name }))?;
                }
            }
        }
        Ok(Exit::Fine)
    }
}

async fn change(settings: &Settings, operation: UserOperation) -> anyhow::Result<UserSummary> {
    match ask(settings, Operation::Users(operation)).await? {
        Answer::User(user) => Ok(user),
        _ => Err(unexpected()),
    }
}

fn tell(what: &str, user: &UserSummary, format: Format) -> anyhow::Result<()> {
    output::note(what);
    if format == Format::Json { output::json(user) } else { Ok(()) }
}

fn list(users: &[UserSummary]) {
    if users.is_empty() {
        return output::note("there are no users yet; `hooktable users add NAME --role admin` adds one");
    }
    let rows = users.iter().map(|user| {
        [
            user.name.clone(),
            user.role.to_string(),
            output::to_the_second(&user.created_at),
            output::to_the_second(&user.changed_at),
        ]
    });
    output::table(["user", "role", "created", "changed"], rows);
}
