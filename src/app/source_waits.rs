//! Why work of a source waits: tenants whose work is held, and APIs that are left alone because they fail.

use serde::{Deserialize, Serialize};

use super::operation::Context;
use super::source_operations::{self, Onboarding};
use crate::http_client::breaker::{CircuitStatus, OpenCircuit};
use crate::store::pools;

/// How a source is doing.
#[derive(Serialize, Deserialize)]
pub struct SourceDetails {
    /// How far its onboarding is.
    pub onboarding: Onboarding,
    /// The tenants whose work is held now.
    pub held: Vec<Held>,
    /// The APIs that are left alone now; only the running server knows.
    pub circuits: Option<Vec<Circuit>>,
}

/// Work of one tenant that is held.
#[derive(Serialize, Deserialize)]
pub struct Held {
    /// The tenant's name; nothing where the source has none.
    pub tenant: Option<String>,
    /// Until when; RFC 3339.
    pub until: String,
    /// Why.
    pub reason: String,
    /// Whether it waits for other credentials.
    pub needs_attention: bool,
}

/// An API that is left alone because it fails.
#[derive(Serialize, Deserialize)]
pub struct Circuit {
    /// Its name in the route file.
    pub api: String,
    /// For this tenant; nothing where the source has none.
    pub tenant: Option<String>,
    /// For this integration, if it is of one.
    pub integration: Option<String>,
    /// Since when; RFC 3339.
    pub since: String,
    /// When one call asks again; RFC 3339.
    pub next_probe: String,
    /// How many requests in a row failed.
    pub failures: u32,
    /// Why the last one failed.
    pub reason: String,
}

/// Everything that is shown of a source.
pub(super) async fn show(context: &Context, source: &str) -> anyhow::Result<SourceDetails> {
    let onboarding = source_operations::show_handshakes(context, source).await?;
    let held = pools::held(&context.store, source).await?.into_iter().map(|pool| Held {
        tenant: pool.tenant,
        until: pool.until.to_string(),
        reason: pool.reason,
        needs_attention: pool.needs_attention,
    });
    let of_source = |status| circuit(source, status);
    let circuits = context.http.as_ref().map(|http| http.circuits().into_iter().filter_map(of_source).collect());
    Ok(SourceDetails { onboarding, held: held.collect(), circuits })
}

/// One that is open, and of this source.
fn circuit(source: &str, status: CircuitStatus) -> Option<Circuit> {
    let OpenCircuit { since, next_probe, failures, reason } = status.open?;
    let (tenant, integration) = status.scope.strip_prefix(source)?.strip_prefix('/')?.rsplit_once('/')?;
    let named = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
    Some(Circuit {
        api: status.api,
        tenant: named(tenant),
        integration: named(integration),
        since: since.to_string(),
        next_probe: next_probe.to_string(),
        failures,
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn of(scope: &str) -> Option<(Option<String>, Option<String>)> {
        let moment = Timestamp::from_micros(0);
        let open = OpenCircuit { since: moment, next_probe: moment, failures: 8, reason: "503".to_owned() };
        let status = CircuitStatus { api: "shop".to_owned(), scope: scope.to_owned(), open: Some(open) };
        circuit("orders", status).map(|circuit| (circuit.tenant, circuit.integration))
    }

    #[test]
    fn a_circuit_is_shown_with_its_own_source_alone() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(of("orders/acme/7"), Some((text("acme"), text("7"))));
        assert_eq!(of("orders//"), Some((None, None)));
        assert_eq!(of("orders2/acme/"), None);
        assert_eq!(of("other/orders/"), None);
    }
}
