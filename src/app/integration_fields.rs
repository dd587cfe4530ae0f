//! Whether the fields that an operator gives are those that the source's file asks for.

use std::collections::BTreeMap;

use anyhow::bail;

use super::onboarding_text::label;
use crate::config::diagnostic::closest;
use crate::routes::source::Source;
use crate::secret::Secret;
use crate::steps::integration::Field;
use crate::store::integrations::Fields;

/// Whether each field that is given or taken away exists, is what it is given as, and says something.
pub(super) fn check_given(source: &Source, given: &Fields, remove: &[String]) -> anyhow::Result<()> {
    for name in given.open.keys() {
        let field = the_field(source, name)?;
        if field.secret {
            bail!(
                "`{name}` is a secret, and what stands on a command line can be seen by others\nhint: `--secret {name}` asks for it; if the value was a real one, replace it"
            );
        }
    }
    for name in given.secret.keys() {
        if !the_field(source, name)?.secret {
            bail!("`{name}` is no secret of the source `{}`\nhint: `--set {name}=VALUE`", source.name);
        }
    }
    let open = given.open.iter().map(|(name, value)| (name, value.as_str()));
    let secret = given.secret.iter().map(|(name, value)| (name, value.expose().as_str()));
    if let Some((name, _)) = open.chain(secret).find(|(_, value)| value.trim().is_empty()) {
        bail!("`{name}` is empty; a value is expected\nhint: leave it out, or take it away with `set ID --unset {name}`");
    }
    match remove.iter().find(|name| given.open.contains_key(*name) || given.secret.contains_key(*name)) {
        Some(name) => bail!("`{name}` is both set and taken away\nhint: keep one of the two"),
        None => Ok(()),
    }
}

/// Whether everything is there that must be and does not come along with the request.
pub(super) fn check_complete(
    source: &Source,
    open: &BTreeMap<String, String>,
    secret: &BTreeMap<String, Secret<String>>,
) -> anyhow::Result<()> {
    let has = |field: &Field| if field.secret { secret.contains_key(&field.name) } else { open.contains_key(&field.name) };
    let fields = source.integration().fields.iter();
    let missing: Vec<&Field> = fields.filter(|field| field.required && field.from.is_none() && !has(field)).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let line = |field: &&Field| {
        let help = field.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
        format!("  {}: {}{help}", field.name, label(field, "en"))
    };
    let lines: Vec<String> = missing.iter().map(line).collect();
    let flag = if first.secret { format!("--secret {}", first.name) } else { format!("--set {}=VALUE", first.name) };
    bail!("the source `{}` needs fields that are missing:\n{}\nhint: add `{flag}`", source.name, lines.join("\n"))
}

fn the_field<'s>(source: &'s Source, name: &str) -> anyhow::Result<&'s Field> {
    let fields = &source.integration().fields;
    if let Some(field) = fields.iter().find(|field| field.name == name) {
        return Ok(field);
    }
    let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let hint = match closest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "its file declares none under `integration: { fields: … }`".to_owned(),
        None => format!("it has `{}`", names.join("`, `")),
    };
    bail!("an integration of `{}` has no field `{name}`\nhint: {hint}", source.name)
}
