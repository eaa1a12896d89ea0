//! What asks for a reload from within the process: SIGHUP, and the watch of the configured directory.
//!
//! Both end with the threads of the server, and both leave the work to a thread that answers no requests.

use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::signal::unix::{SignalKind, signal};
use actix_web::rt::{self, time};
use actix_web::web::block;
use cauce_model::bundle::Bundle;

use crate::reload::Reloader;
use crate::reload::watch::{Stamp, Watch};

/// Listens and watches from now on.
pub(super) fn start(reloader: &Arc<Reloader>, loaded: Arc<Bundle>) {
    rt::spawn(on_signal(reloader.clone()));
    let every = reloader.settings().watch.get();
    if !every.is_zero() {
        rt::spawn(watch(reloader.clone(), loaded, every));
    }
}

/// Signals that come during a reload are one more reload after it.
async fn on_signal(reloader: Arc<Reloader>) {
    let Ok(mut hang_up) = signal(SignalKind::hangup()) else {
        tracing::error!("SIGHUP cannot be received: `POST /admin/bundle` reloads");
        return;
    };
    while hang_up.recv().await.is_some() {
        reload(&reloader).await;
    }
}

async fn watch(reloader: Arc<Reloader>, loaded: Arc<Bundle>, every: Duration) {
    let Some(now) = look(&reloader).await else { return };
    let mut watch = Watch::new(&loaded, now);
    drop(loaded);
    loop {
        time::sleep(every).await;
        let Some(now) = look(&reloader).await else { return };
        if watch.is_due(now) {
            reload(&reloader).await;
        }
    }
}

/// What lies in the configured directory; `None` when the process ends.
async fn look(reloader: &Arc<Reloader>) -> Option<Option<Stamp>> {
    let reloader = reloader.clone();
    block(move || Stamp::of(&reloader.settings().bundle)).await.ok()
}

async fn reload(reloader: &Arc<Reloader>) {
    let reloader = reloader.clone();
    // What became of it is counted and logged where it is done.
    let _ = block(move || reloader.reload_configured()).await;
}
