//! An integration that nobody set up, for trying and testing: its secrets are `test-NAME`, and so is every field that nothing says
//! otherwise of.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::expr::template::Context;
use crate::model::event::EventDocument;
use crate::model::integration::Integration;
use crate::model::tenant::Tenant;
use crate::secret::Secret;
use crate::steps::integration::{FoundBy, IntegrationRule};

/// The endpoint id of an integration that was made up.
pub const ENDPOINT: &str = "hti_test";

/// The value of a field: what is given, else `test-NAME`.
pub fn value_of(name: &str, given: &[(String, String)]) -> String {
    let given = given.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    given.unwrap_or_else(|| format!("test-{name}"))
}

/// What the fields of a made-up integration hold: what `document` is found by, what is given, and else `test-NAME`. The second
/// value has the secret ones.
pub fn fields_of(
    rule: &IntegrationRule,
    given: &[(String, String)],
    document: Option<&EventDocument>,
) -> (BTreeMap<String, String>, BTreeMap<String, Secret<String>>) {
    let wanted = |name: &str| match &rule.found {
        FoundBy::Fields(wanted) => {
            let (_, value) = wanted.iter().find(|(known, _)| known == name)?;
            value.text(Context::from(document?)).ok()
        }
        FoundBy::Tenant | FoundBy::Endpoint(_) => None,
    };
    let (mut open, mut secret) = (BTreeMap::new(), BTreeMap::new());
    for field in &rule.fields {
        let value = wanted(&field.name).unwrap_or_else(|| value_of(&field.name, given));
        if field.secret {
            secret.insert(field.name.clone(), Secret::new(value));
        } else {
            open.insert(field.name.clone(), value);
        }
    }
    (open, secret)
}

/// The whole integration, for a run that has no state.
pub fn integration(
    rule: &IntegrationRule,
    source: &str,
    tenant: Tenant,
    document: &EventDocument,
    now: Timestamp,
) -> Integration {
    let (fields, secrets) = fields_of(rule, &[], Some(document));
    Integration {
        id: 1,
        tenant,
        source: source.to_owned(),
        endpoint: ENDPOINT.into(),
        description: "made up".to_owned(),
        fields,
        secrets,
        secrets_changed_at: BTreeMap::new(),
        created_at: now,
        changed_at: now,
        last_used_at: None,
        revoked_at: None,
    }
}
