//! Integrations: one tenant's set-up of one source, and the snapshot of all of them that requests are looked up in. Nothing here
//! touches a database.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::tenant::Tenant;
use crate::clock::Timestamp;
use crate::secret::Secret;

/// One tenant's set-up of one source.
#[derive(Clone, Debug)]
pub struct Integration {
    /// Its row in the state database.
    pub id: i64,
    /// Whose it is.
    pub tenant: Tenant,
    /// The source it sets up.
    pub source: String,
    /// The unguessable id that stands in the URL that was handed out.
    pub endpoint: Secret<String>,
    /// What the operator wrote about it.
    pub description: String,
    /// Its open fields.
    pub fields: BTreeMap<String, String>,
    /// Its secret fields.
    pub secrets: BTreeMap<String, Secret<String>>,
    /// When each secret field was last written.
    pub secrets_changed_at: BTreeMap<String, Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a field or the endpoint id last changed.
    pub changed_at: Timestamp,
    /// When a delivery was last its, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

impl Integration {
    /// Whether it still lets anyone in.
    pub fn is_active(&self) -> bool {
        self.revoked_at.is_none()
    }

    /// Whether all these open fields have these values.
    pub fn has_fields(&self, wanted: &[(String, String)]) -> bool {
        wanted.iter().all(|(name, value)| self.fields.get(name) == Some(value))
    }
}

/// More than one active integration of a source has the values that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguous {
    /// Two of them, the older first.
    pub ids: [i64; 2],
}

impl fmt::Display for Ambiguous {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the integrations {} and {} both have these values", self.ids[0], self.ids[1])
    }
}

/// All integrations at one moment, revoked ones too.
#[derive(Clone, Debug, Default)]
pub struct Integrations {
    by_id: BTreeMap<i64, Arc<Integration>>,
    /// By the first bytes of the SHA-256 of the endpoint id. Finding one by them tells nothing: they are of a hash of random bytes.
    by_endpoint: HashMap<[u8; 8], Vec<Known>>,
    /// Active ones.
    of_source: HashMap<String, OfSource>,
}

/// An active integration and the SHA-256 of its endpoint id.
#[derive(Clone, Debug)]
struct Known {
    hash: [u8; 32],
    integration: Arc<Integration>,
}

/// The active integrations of one source.
#[derive(Clone, Debug, Default)]
struct OfSource {
    of_tenant: HashMap<i64, Vec<Arc<Integration>>>,
    /// By an open field's name, then its value.
    with_field: HashMap<String, HashMap<String, Vec<Arc<Integration>>>>,
}

impl FromIterator<Arc<Integration>> for Integrations {
    fn from_iter<I: IntoIterator<Item = Arc<Integration>>>(all: I) -> Self {
        let by_id: BTreeMap<i64, Arc<Integration>> = all.into_iter().map(|one| (one.id, one)).collect();
        let mut integrations = Self::default();
        for one in by_id.values().filter(|one| one.is_active()) {
            let hash = hash_of(one.endpoint.expose());
            integrations.by_endpoint.entry(start_of(&hash)).or_default().push(Known { hash, integration: Arc::clone(one) });
            let of_source = integrations.of_source.entry(one.source.clone()).or_default();
            of_source.of_tenant.entry(one.tenant.id).or_default().push(Arc::clone(one));
            for (name, value) in &one.fields {
                let with_name = of_source.with_field.entry(name.clone()).or_default();
                with_name.entry(value.clone()).or_default().push(Arc::clone(one));
            }
        }
        Self { by_id, ..integrations }
    }
}

impl Integrations {
    /// The active integration whose endpoint id was presented to `source`.
    pub fn by_endpoint(&self, source: &str, presented: &str) -> Option<Arc<Integration>> {
        let hash = hash_of(presented);
        let candidates = self.by_endpoint.get(&start_of(&hash))?;
        let found = &candidates.iter().find(|known| bool::from(known.hash.ct_eq(&hash)))?.integration;
        (found.source == source).then(|| Arc::clone(found))
    }

    /// The one active integration of `source` whose open fields have all these values; none when nothing is asked for.
    pub fn by_fields(&self, source: &str, wanted: &[(String, String)]) -> Result<Option<Arc<Integration>>, Ambiguous> {
        let mut found = self.with_fields(source, wanted);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(Some(Arc::clone(one))),
            (Some(one), Some(other)) => Err(Ambiguous { ids: [one.id, other.id] }),
            (None, _) => Ok(None),
        }
    }

    /// The active integrations of `source` whose open fields have all these values, the oldest first; none when nothing is asked
    /// for. Only those with the rarest of the values are looked at.
    pub fn with_fields(&self, source: &str, wanted: &[(String, String)]) -> impl Iterator<Item = &Arc<Integration>> {
        let candidates = |(name, value): &(String, String)| {
            let found = self.of_source.get(source).and_then(|of_source| of_source.with_field.get(name)?.get(value));
            found.map_or(&[][..], Vec::as_slice)
        };
        let fewest = wanted.iter().map(candidates).min_by_key(|candidates| candidates.len()).unwrap_or_default();
        fewest.iter().filter(move |one| one.has_fields(wanted))
    }

    /// A tenant's active integrations of `source`, the oldest first.
    pub fn of_tenant(&self, source: &str, tenant_id: i64) -> &[Arc<Integration>] {
        let found = self.of_source.get(source).and_then(|of_source| of_source.of_tenant.get(&tenant_id));
        found.map_or(&[], Vec::as_slice)
    }

    /// The integration of that row, also when it is revoked.
    pub fn by_id(&self, id: i64) -> Option<Arc<Integration>> {
        self.by_id.get(&id).cloned()
    }

    /// All of them in the order they were made, revoked ones too.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Integration>> {
        self.by_id.values()
    }
}

/// An integration as it is listed: nothing in it is secret, nor the endpoint id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IntegrationSummary {
    /// Its number.
    pub id: i64,
    /// The tenant's name.
    pub tenant: String,
    /// The source it sets up.
    pub source: String,
    /// What the operator wrote about it.
    pub description: String,
    /// Its open fields.
    pub fields: BTreeMap<String, String>,
    /// Its secret fields, with the moment (RFC 3339) at which each was last written.
    pub secrets: BTreeMap<String, String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub changed_at: String,
    /// RFC 3339, to the minute.
    pub last_used_at: Option<String>,
    /// RFC 3339; absent while it is active.
    pub revoked_at: Option<String>,
    /// What stops its work until somebody acts: the provider refuses its credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_attention: Option<String>,
}

impl From<&Integration> for IntegrationSummary {
    fn from(one: &Integration) -> Self {
        let changed = |name: &String| one.secrets_changed_at.get(name).copied().unwrap_or(one.changed_at).to_string();
        Self {
            id: one.id,
            tenant: one.tenant.name.clone(),
            source: one.source.clone(),
            description: one.description.clone(),
            fields: one.fields.clone(),
            secrets: one.secrets.keys().map(|name| (name.clone(), changed(name))).collect(),
            created_at: one.created_at.to_string(),
            changed_at: one.changed_at.to_string(),
            last_used_at: one.last_used_at.map(|moment| moment.to_string()),
            revoked_at: one.revoked_at.map(|moment| moment.to_string()),
            needs_attention: None,
        }
    }
}

fn hash_of(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

fn start_of(hash: &[u8; 32]) -> [u8; 8] {
    let mut start = [0; 8];
    start.copy_from_slice(&hash[..8]);
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_795_248_131_000_000);

    fn integration(id: i64, tenant_id: i64, fields: &[(&str, &str)]) -> Integration {
        Integration {
            id,
            tenant: Tenant { id: tenant_id, name: format!("tenant{tenant_id}") },
            source: "shop".into(),
            endpoint: Secret::new(format!("hti_{id}")),
            description: String::new(),
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            secrets: BTreeMap::from([("token".to_owned(), Secret::from("hunter2"))]),
            secrets_changed_at: BTreeMap::from([("token".to_owned(), NOW)]),
            created_at: NOW,
            changed_at: NOW,
            last_used_at: None,
            revoked_at: None,
        }
    }

    fn revoked(integration: Integration) -> Integration {
        Integration { revoked_at: Some(NOW), ..integration }
    }

    fn all(integrations: Vec<Integration>) -> Integrations {
        integrations.into_iter().map(Arc::new).collect()
    }

    fn wanted(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn found(integrations: &Integrations, source: &str, fields: &[(&str, &str)]) -> Result<Option<i64>, [i64; 2]> {
        let found = integrations.by_fields(source, &wanted(fields));
        found.map(|one| one.map(|one| one.id)).map_err(|ambiguous| ambiguous.ids)
    }

    #[test]
    fn an_endpoint_id_opens_its_own_source_while_its_integration_is_active() {
        let integrations = all(vec![integration(1, 1, &[]), revoked(integration(2, 1, &[]))]);
        let id_of = |source: &str, presented: &str| integrations.by_endpoint(source, presented).map(|one| one.id);
        assert_eq!(id_of("shop", "hti_1"), Some(1));
        for (source, presented) in [("other", "hti_1"), ("shop", "hti_2"), ("shop", "hti_3"), ("shop", ""), ("shop", "HTI_1")] {
            assert_eq!(id_of(source, presented), None, "{source} {presented}");
        }
        assert!(integrations.by_id(2).is_some_and(|one| !one.is_active()));
    }

    #[test]
    fn fields_find_the_one_that_has_all_of_them() {
        let integrations = all(vec![
            integration(1, 1, &[("shop", "a"), ("plan", "x")]),
            integration(2, 2, &[("shop", "b"), ("plan", "x")]),
            integration(3, 3, &[("shop", "b"), ("plan", "y")]),
            revoked(integration(4, 4, &[("shop", "a")])),
        ]);
        assert_eq!(found(&integrations, "shop", &[("shop", "a")]), Ok(Some(1)));
        assert_eq!(found(&integrations, "shop", &[("shop", "b")]), Err([2, 3]));
        assert_eq!(found(&integrations, "shop", &[("plan", "x"), ("shop", "b")]), Ok(Some(2)));
        for nothing in [&[("shop", "c")][..], &[("shop", "a"), ("plan", "y")], &[("token", "hunter2")], &[]] {
            assert_eq!(found(&integrations, "shop", nothing), Ok(None), "{nothing:?}");
        }
        assert_eq!(found(&integrations, "other", &[("shop", "a")]), Ok(None));
    }

    #[test]
    fn a_tenant_has_its_own_active_integrations_and_no_others() {
        let integrations = all(vec![integration(1, 1, &[]), revoked(integration(2, 1, &[])), integration(3, 2, &[])]);
        let ids = |source, tenant| integrations.of_tenant(source, tenant).iter().map(|one| one.id).collect::<Vec<_>>();
        assert_eq!((ids("shop", 1), ids("shop", 2), ids("shop", 3), ids("other", 1)), (vec![1], vec![3], vec![], vec![]));
    }

    #[test]
    fn no_secret_and_no_endpoint_id_is_shown() {
        let one = integration(1, 1, &[("shop", "a")]);
        let summary = serde_json::to_string(&IntegrationSummary::from(&one)).expect("json");
        for shown in [format!("{one:?}"), format!("{:?}", all(vec![one])), summary] {
            assert!(!shown.contains("hunter2") && !shown.contains("hti_1"), "{shown}");
        }
    }

    #[test]
    fn many_integrations_cost_no_scan() {
        let many = 100_000;
        let shop = |id: i64| format!("shop{id}");
        let integrations = all((1..=many).map(|id| integration(id, id, &[("shop", &shop(id)), ("plan", "x")])).collect());
        for id in [1, many / 2, many] {
            let wanted = wanted(&[("plan", "x"), ("shop", &shop(id))]);
            assert_eq!(integrations.with_fields("shop", &wanted[1..]).count(), 1);
            assert_eq!(integrations.by_fields("shop", &wanted).map(|one| one.map(|one| one.id)), Ok(Some(id)));
        }
    }
}
