//! Watching the folder: a change is seen whatever the editor does, taken over once the folder is quiet, and told of.

use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::folder::{Fingerprint, Folder};
use super::load::Texts;

/// How long the folder must be quiet before it is read.
const QUIET: Duration = Duration::from_millis(100);
/// The longest that a burst of saves can put reading off.
const MOST: Duration = Duration::from_millis(700);
/// How often names, sizes and times are looked at, for changes that no event tells of: a link that is swapped, a folder that was
/// removed and made again, a network file system.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often everything is read whatever it looks like, for secret files that were rotated.
const READ_EVERY: Duration = Duration::from_secs(30);

/// Calls `changed` with the folder's texts whenever they have changed, and now and then when they have not. Never ends.
pub async fn watch<F: Future<Output = ()>>(folder: Folder, mut changed: impl FnMut(Result<Texts, String>) -> F) {
    let event = Arc::new(Notify::new());
    let mut watcher = subscribe(&folder, &event);
    let mut seen = fingerprint(&folder).await;
    let mut read_at = Instant::now();
    loop {
        let told = timeout(LOOK_EVERY, event.notified()).await.is_ok();
        let looks = fingerprint(&folder).await;
        if !told && looks == seen && read_at.elapsed() < READ_EVERY {
            continue;
        }
        seen = settled(&folder, looks).await;
        read_at = Instant::now();
        // a folder that was removed and made again is another one to the watcher: it tells nothing of the new one
        if watcher.is_none() || seen.is_none() || !told {
            watcher = subscribe(&folder, &event);
        }
        let reading = folder.clone();
        let texts = tokio::task::spawn_blocking(move || reading.read()).await;
        let texts = texts.map_err(|error| error.to_string()).and_then(|texts| texts.map_err(|error| error.to_string()));
        changed(texts.map_err(|reason| format!("the folder `{}` cannot be read: {reason}", folder.path().display()))).await;
    }
}

/// Waits until the folder looks the same twice in a row.
async fn settled(folder: &Folder, mut looks: Option<Fingerprint>) -> Option<Fingerprint> {
    let start = Instant::now();
    loop {
        sleep(QUIET).await;
        let again = fingerprint(folder).await;
        if again == looks || start.elapsed() >= MOST {
            return again;
        }
        looks = again;
    }
}

async fn fingerprint(folder: &Folder) -> Option<Fingerprint> {
    let folder = folder.clone();
    tokio::task::spawn_blocking(move || folder.fingerprint().ok()).await.ok().flatten()
}

/// Events only make it quicker: where none can be had, looking is enough.
fn subscribe(folder: &Folder, event: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let event = Arc::clone(event);
    let mut watcher = notify::recommended_watcher(move |found: notify::Result<notify::Event>| {
        if found.is_ok_and(|found| !found.kind.is_access()) {
            event.notify_one();
        }
    })
    .ok()?;
    watcher.watch(folder.path(), RecursiveMode::NonRecursive).ok()?;
    if let Some(templates) = folder.templates() {
        // there may be none yet; looking finds them
        let _ = watcher.watch(templates, RecursiveMode::Recursive);
    }
    Some(watcher)
}
