//! Secrets as a command is given them: typed without being seen, a line each on standard input, in a variable or in a file. Never
//! an argument, which other users of the machine can read.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;

use crate::app::carried::Carried;
use crate::app::settings::environment_variable;
use crate::secret::Secret;

/// The flags by which secret fields are given.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct SecretFlags {
    /// A secret field, asked for on a terminal; else a line of standard input, in the order of these flags
    #[arg(long = "secret", value_name = "NAME")]
    prompted: Vec<String>,
    /// A secret field, from a variable of the environment
    #[arg(long = "secret-env", value_name = "NAME=VARIABLE")]
    variables: Vec<String>,
    /// A secret field, from a file; a newline at its end is cut
    #[arg(long = "secret-file", value_name = "NAME=PATH")]
    files: Vec<String>,
}

impl SecretFlags {
    /// The fields with their values.
    pub(super) fn read(&self) -> anyhow::Result<BTreeMap<String, Carried>> {
        let mut secrets = BTreeMap::new();
        for given in &self.variables {
            let (name, variable) = assigned(given, "--secret-env", "VARIABLE")?;
            let value = environment_variable(variable).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| anyhow!("the variable `{variable}` for the secret `{name}` is not set"))?;
            add(&mut secrets, name, Secret::new(value))?;
        }
        for given in &self.files {
            let (name, path) = assigned(given, "--secret-file", "PATH")?;
            add(&mut secrets, name, file(Path::new(path), name)?)?;
        }
        for name in &self.prompted {
            if name.contains('=') {
                bail!(
                    "`--secret` takes a name and no value\nhint: other users of the machine can read arguments; `--secret NAME` asks for the value"
                );
            }
            add(&mut secrets, name, line(&format!("`{name}`"))?)?;
        }
        Ok(secrets)
    }
}

/// A secret out of a variable of the environment.
pub(super) fn variable(name: &str) -> anyhow::Result<Secret<String>> {
    let value = environment_variable(name).filter(|value| !value.is_empty());
    value.map(Secret::new).ok_or_else(|| anyhow!("the variable `{name}` is not set"))
}

/// A new password: typed twice, or a line of standard input.
pub(super) fn new_password() -> anyhow::Result<Carried> {
    let password = line("the password")?;
    if std::io::stdin().is_terminal() && line("the password again")? != password {
        bail!("the two passwords are not the same");
    }
    Ok(password.into())
}

/// `NAME=VALUE` in two.
pub(super) fn assigned<'g>(given: &'g str, flag: &str, what: &str) -> anyhow::Result<(&'g str, &'g str)> {
    match given.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        // what was given may be a secret in the wrong place
        _ => bail!("`{flag}` takes `NAME={what}`; there is no `=` behind a name"),
    }
}

fn add(secrets: &mut BTreeMap<String, Carried>, name: &str, value: Secret<String>) -> anyhow::Result<()> {
    match secrets.insert(name.to_owned(), value.into()) {
        Some(_) => bail!("the secret `{name}` is given twice"),
        None => Ok(()),
    }
}

fn file(path: &Path, name: &str) -> anyhow::Result<Secret<String>> {
    let read = std::fs::read_to_string(path);
    let text = read.with_context(|| format!("cannot read `{}` for the secret `{name}`", path.display()))?;
    Ok(Secret::new(text.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).unwrap_or(&text).to_owned()))
}

/// One secret: typed on a terminal, or the next line of standard input.
fn line(what: &str) -> anyhow::Result<Secret<String>> {
    if std::io::stdin().is_terminal() {
        let typed = rpassword::prompt_password(format!("{what}: "));
        return typed.map(Secret::new).with_context(|| format!("{what} could not be asked for"));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    let read = std::io::stdin().lock().read_line(&mut text).with_context(|| format!("cannot read {what} from standard input"))?;
    if read == 0 {
        bail!("{what} is expected on standard input, a line each; it has ended");
    }
    Ok(Secret::new(text.trim_end_matches(['\n', '\r']).to_owned()))
}
