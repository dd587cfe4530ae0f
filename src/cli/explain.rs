//! `hooktable explain`: a route file with every default filled in, and what follows from it.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::flags::GlobalFlags;
use super::output;
use super::run::Exit;
use super::trial::{source_of, texts_around};
use crate::app::sources::surroundings;
use crate::auth::preset::written_out;
use crate::config::diagnostic::{Diagnostics, closest};
use crate::config::source::Sources;
use crate::config::yaml::parse;
use crate::rehearsal::trial::StandIns;
use crate::routes::explained::explain;
use crate::routes::load::load;
use crate::routes::source::Source;

/// The flags of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The route file
    file: PathBuf,
    /// One route of it: an event that it wants, or its number from 0
    route: Option<String>,
}

impl Explain {
    /// Prints it.
    pub fn run(self, global: GlobalFlags) -> anyhow::Result<Exit> {
        let settings = global.settings()?;
        let surroundings = surroundings(&settings, Box::new(StandIns));
        let world = surroundings.world();
        let texts = texts_around(&self.file, &settings)?;
        let loaded = load(&texts, world, &[]);
        let Some(source) = source_of(&self.file, &loaded)? else { return Ok(Exit::Problems) };
        let only = self.route.as_ref().map(|route| index_of(route, &source)).transpose()?;
        let mut sources = Sources::default();
        let file = sources.add(&source.path, texts.routes.get(&source.path).cloned().unwrap_or_default());
        let Some(root) = parse(&sources, file, &mut Diagnostics::default()) else { return Ok(Exit::Problems) };
        output::data(explain(&source, &written_out(&root), only, world).trim_end());
        Ok(Exit::Fine)
    }
}

fn index_of(route: &str, source: &Source) -> anyhow::Result<usize> {
    let routes = &source.admission.routes;
    let wants = |index: &usize| routes[*index].matcher.events.iter().any(|event| event.text() == route);
    let matches = |index: &usize| routes[*index].matcher.events.iter().any(|event| event.matches(route));
    let number = route.parse().ok().filter(|index| *index < routes.len());
    if let Some(index) = (0..routes.len()).find(wants).or(number).or((0..routes.len()).find(matches)) {
        return Ok(index);
    }
    let events: Vec<&str> = routes.iter().flat_map(|route| &route.matcher.events).map(|event| event.text()).collect();
    match closest(route, events.iter().copied()) {
        Some(near) => bail!("no route wants the event `{route}`\nhint: did you mean `{near}`?"),
        None => bail!("no route wants the event `{route}`; the events are {}", events.join(", ")),
    }
}
