//! Requests frozen by name until a test lets them go.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

/// The named holds.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<HashMap<String, Arc<Notify>>>);

impl Holds {
    /// Waits until `name` is released. `held` runs once a release can no longer be missed.
    pub(super) async fn wait(&self, name: &str, held: impl FnOnce()) {
        let gate = {
            let mut gates = self.0.lock().expect("no holder panics");
            gates.entry(name.to_owned()).or_default().clone()
        };
        let mut released = pin!(gate.notified());
        released.as_mut().enable();
        held();
        released.await;
    }

    /// Lets go whatever waits under `name` now; later arrivals are held again.
    pub(super) fn release(&self, name: &str) {
        if let Some(gate) = self.0.lock().expect("no holder panics").get(name) {
            gate.notify_waiters();
        }
    }

    pub(super) fn release_all(&self) {
        self.0.lock().expect("no holder panics").values().for_each(|gate| gate.notify_waiters());
    }
}
