//! What processes tell each other of themselves: `/tasks` and `/state` of the others, and this one's own without asking.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use log::Log;
use operators::Topology;
use runtime::app::{Place, Seen, StoreDescription, describe};
use runtime::{Describe, PeerError, QueryDoor, WorkerStatus};
use tokio::runtime::Handle;

use crate::admin::Watched;
use crate::config::Config;
use crate::data_dir;
use crate::queries::Asker;

/// One that takes longer counts as silent.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks a process over HTTP. Not from an asynchronous thread.
pub(crate) fn look(asker: &Asker, application: &str, place: &Place) -> Result<Seen, String> {
    let Some(address) = &place.address else {
        return Err("it has told no address: see ADMIN_ADVERTISED_ADDR".to_owned());
    };
    let silent = |error: PeerError| match error {
        PeerError::Said(error) => error.to_string(),
        PeerError::Silent(reason) => format!("{address}: {reason}"),
    };
    Handle::current().block_on(async {
        let workers: Vec<WorkerStatus> =
            asker.get(address, "tasks", PATIENCE).await.map_err(silent)?;
        let stores: Result<BTreeMap<String, Vec<StoreDescription>>, _> =
            asker.get(address, "state", PATIENCE).await;
        let stores = stores.map_err(silent)?.remove(application).unwrap_or_default();
        Ok(Seen { workers, stores })
    })
}

/// Describes the applications that this process runs; other members are asked over HTTP.
pub(crate) fn describer(
    config: &Config,
    log: Arc<dyn Log>,
    topologies: Arc<Vec<Topology>>,
    watched: Watched,
    queries: QueryDoor,
) -> Result<Arc<Describe>> {
    let own = data_dir::instance(&config.data_dir, config.instance_id.as_deref())?;
    let asker = Asker::new(config)?;
    Ok(Arc::new(move |application| {
        let topology = topologies.iter().find(|it| it.application_id() == application)?;
        let look = |place: &Place| {
            if place.instance != own {
                return look(&asker, application, place);
            }
            let stores = queries.extents().remove(application).unwrap_or_default();
            Ok(Seen { workers: watched.statuses(), stores })
        };
        Some(describe(&log, topology, &look).map_err(|error| error.to_string()))
    }))
}
