//! Any text as a route file: it ends in diagnostics whose places lie inside the text.
#![no_main]

use hooktable::auth::secret::SecretReader;
use hooktable::config::render;
use hooktable::expr::template::Engine;
use hooktable::routes::compile::World;
use hooktable::routes::load::{Texts, load};
use hooktable::steps::map::Destination;
use libfuzzer_sys::fuzz_target;

struct NothingSet;

impl SecretReader for NothingSet {
    fn environment(&self, _: &str) -> Option<String> {
        None
    }
    fn file(&self, _: &str) -> Option<String> {
        None
    }
    fn today(&self) -> jiff::civil::Date {
        jiff::civil::date(2026, 11, 21)
    }
    fn stand_in(&self, _: &str) -> Option<String> {
        None
    }
}

fuzz_target!(|text: &str| {
    let world = World {
        destinations: &[Destination { name: "main".into(), tenant_column: "tenant".into() }],
        secrets: &NothingSet,
        engine: &Engine::default(),
        files: &|_| Err("is not there".into()),
    };
    let texts = Texts { routes: [("routes.d/fuzz.yaml".to_owned(), text.to_owned())].into(), ..Texts::default() };
    let loaded = load(&texts, world, &[]);
    render::text(&loaded.diagnostics, &loaded.texts, false);
});
