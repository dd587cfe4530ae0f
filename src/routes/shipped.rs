//! The templates that come with the program, for the route files that do. One of the same name in the folder of templates takes its
//! place.

use std::collections::BTreeMap;

use super::load::TemplateText;

const TEMPLATES: [(&str, &str); 12] = [
    ("onboarding/economic.da.md", include_str!("../../templates/onboarding/economic.da.md")),
    ("onboarding/economic.de.md", include_str!("../../templates/onboarding/economic.de.md")),
    ("onboarding/economic.en.md", include_str!("../../templates/onboarding/economic.en.md")),
    ("onboarding/rackbeat-economic.da.md", include_str!("../../templates/onboarding/rackbeat-economic.da.md")),
    ("onboarding/rackbeat-economic.de.md", include_str!("../../templates/onboarding/rackbeat-economic.de.md")),
    ("onboarding/rackbeat-economic.en.md", include_str!("../../templates/onboarding/rackbeat-economic.en.md")),
    ("onboarding/rackbeat.da.md", include_str!("../../templates/onboarding/rackbeat.da.md")),
    ("onboarding/rackbeat.de.md", include_str!("../../templates/onboarding/rackbeat.de.md")),
    ("onboarding/rackbeat.en.md", include_str!("../../templates/onboarding/rackbeat.en.md")),
    ("onboarding/smarttid.da.md", include_str!("../../templates/onboarding/smarttid.da.md")),
    ("onboarding/smarttid.de.md", include_str!("../../templates/onboarding/smarttid.de.md")),
    ("onboarding/smarttid.en.md", include_str!("../../templates/onboarding/smarttid.en.md")),
];

/// Adds those that are not there to a folder's own.
pub(super) fn add_missing(templates: &mut BTreeMap<String, TemplateText>) {
    for (name, text) in TEMPLATES {
        let shipped = || TemplateText { path: format!("templates/{name}"), text: text.to_owned() };
        templates.entry(name.to_owned()).or_insert_with(shipped);
    }
}
