//! Credentials that Peak gives, and what it does not give, in a source's words.

use crate::config;
use crate::peak::{Peak, PeakError, Warehouse};

use super::SourceError;

/// A tenant's warehouse, asked for at Peak.
pub(super) struct Credentials {
    peak: Peak,
    warehouse: Option<String>,
}

impl Credentials {
    pub(super) fn new(settings: &config::Credentials) -> Result<Self, SourceError> {
        let peak = &settings.peak;
        let asked = Peak::new(&peak.api_key, peak.base_url.as_deref()).map_err(untold)?;
        Ok(Self { peak: asked, warehouse: peak.warehouse.clone() })
    }

    /// Asks anew.
    pub(super) async fn ask(&self) -> Result<Warehouse, SourceError> {
        self.peak.credentials(self.warehouse.as_deref()).await.map_err(untold)
    }
}

/// What Peak has is not what the config says.
pub(super) fn other_kind(wanted: &str, warehouse: &Warehouse) -> SourceError {
    let is = warehouse.kind();
    let why = format!(
        "is \"{wanted}\", but Peak's warehouse is {is}: write kind = \"{is}\", or name another warehouse"
    );
    SourceError::config("kind", why)
}

fn untold(error: PeakError) -> SourceError {
    let why = error.to_string();
    match error {
        PeakError::Setting(_) => SourceError::config("credentials.peak", why),
        PeakError::Unreachable(_) => SourceError::Unreachable(why),
        PeakError::Refused(_) => SourceError::Refused(why),
        PeakError::NotFound(_) => SourceError::config("credentials.peak.warehouse", why),
        PeakError::Answer(_) => SourceError::Unusable(why),
    }
}
