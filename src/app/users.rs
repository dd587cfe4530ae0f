//! What operators ask for about users of the portal.

use serde::{Deserialize, Serialize};

use super::carried::Carried;
use super::operation::Answer;
use crate::model::user::{Role, User, UserSummary};
use crate::store::{Store, users};

/// What can be asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum UserOperation {
    /// Adds one.
    Add {
        /// What the user signs in with.
        name: String,
        /// What the user may do.
        role: Role,
        /// The password.
        password: Carried,
    },
    /// All of them.
    List,
    /// Gives one another role.
    SetRole {
        /// What the user signs in with.
        name: String,
        /// The new role.
        role: Role,
    },
    /// Gives one another password.
    SetPassword {
        /// What the user signs in with.
        name: String,
        /// The new password.
        password: Carried,
    },
    /// Removes one.
    Remove {
        /// What the user signs in with.
        name: String,
    },
}

/// Does it.
pub(super) async fn execute(store: &Store, operation: UserOperation) -> anyhow::Result<Answer> {
    Ok(match operation {
        UserOperation::Add { name, role, password } => {
            Answer::User(UserSummary::from(&users::add(store, &name, role, password.secret()).await?))
        }
        UserOperation::List => Answer::Users(users::list(store).await?.iter().map(UserSummary::from).collect()),
        UserOperation::SetRole { name, role } => {
            users::set_role(store, &name, role).await?;
            Answer::User(UserSummary::from(&of_name(store, &name).await?))
        }
        UserOperation::SetPassword { name, password } => {
            users::set_password(store, &name, password.secret()).await?;
            Answer::User(UserSummary::from(&of_name(store, &name).await?))
        }
        UserOperation::Remove { name } => {
            users::remove(store, &name).await?;
            Answer::RemovedUser(name)
        }
    })
}

async fn of_name(store: &Store, name: &str) -> anyhow::Result<User> {
    let found = users::list(store).await?.into_iter().find(|user| user.name == name);
    found.ok_or_else(|| anyhow::anyhow!("there is no user `{name}`"))
}
