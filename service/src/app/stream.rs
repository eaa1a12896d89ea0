//! Kafka's topics as the log: the share of them that this instance is given, and what runs for it.
//!
//! Histories that are on this machine can be read before the first broker has answered, and while none does: scoring needs no broker.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use cauce_model::bundle::Bundle;
use cauce_model::onnx::ModelError;

use super::{AppError, Backend, Recovery};
use crate::clock::Clock;
use crate::config::Config;
use crate::kafka::applied::Applied;
use crate::kafka::front::KafkaLog;
use crate::kafka::partitioner::partition_of;
use crate::kafka::tending::{Tended, Tending};
use crate::kafka::worker::{Control, Parts, Seat, Worker, open_slice, state_directory};
use crate::kafka::{Cluster, ClusterError};
use crate::kpi::recorder::Recorders;
use crate::metrics::Metrics;
use crate::metrics::kafka::KafkaMetrics;
use crate::scoring::Batch;
use crate::serving::Slot;
use crate::store::{Embedded, Histories, StateError};
use crate::tally::Tally;

/// How many partitions there are, as was last heard.
const PARTITIONS: &str = "partitions";

/// What reads from Kafka.
pub(super) struct Stream {
    pub(super) control: Arc<Control>,
    thread: JoinHandle<()>,
}

impl Stream {
    /// Commits, gives the partitions back and ends; says why if it had ended before.
    pub(super) fn stop(self) -> Result<(), AppError> {
        self.control.stop();
        let ended =
            self.thread.join().map_err(|_| AppError::Stream("the thread that reads from Kafka met a defect".into()));
        ended.and_then(|()| self.control.failure().map_or(Ok(()), |failure| Err(AppError::Stream(failure))))
    }
}

/// Connects, and takes up what this machine holds.
pub(super) fn open(
    config: &Config,
    bundle: &Arc<Bundle>,
    slot: &Arc<Slot>,
    clock: Clock,
    metrics: &Arc<Metrics>,
    recorders: Option<&Recorders>,
    recovery: Recovery,
) -> Result<Backend, AppError> {
    let cluster = Cluster::of(&config.kafka)?;
    let (partitions, is_reachable) = partitions(&cluster, &config.store.directory)?;
    if recovery.rebuild_state {
        for partition in 0..partitions {
            Embedded::remove(&state_directory(&config.store, partition as i32))?;
        }
    }
    let histories = Arc::new(Histories::partitioned(partitions, partition_of));
    let applied = Arc::new(Applied::new(partitions));
    let tending = Arc::new(Tending::new(bundle.clone(), clock, config.store.clone()));
    // Where brokers answer, they will say whose the slices are now.
    let kept = match is_reachable {
        true => BTreeMap::new(),
        false => held_here(config, bundle, &histories, &tending)?,
    };
    let log = KafkaLog::new(&cluster, applied.clone(), &config.log, recovery.accept_data_loss)?;
    let seat = || {
        let tally = Tally::new(metrics.clone(), recorders.map(Recorders::open));
        Ok::<_, ModelError>(Seat { batch: Batch::seated(slot)?, tally })
    };
    let parts = Parts {
        cluster,
        bundle: bundle.clone(),
        seats: (0..config.server.workers).map(|_| seat()).collect::<Result<_, _>>()?,
        histories: histories.clone(),
        applied,
        tending: tending.clone(),
        metrics: Arc::new(KafkaMetrics::new(metrics, partitions)),
        store: config.store.clone(),
        clock,
        accept_data_loss: recovery.accept_data_loss,
    };
    let control = Arc::new(Control::new(!kept.is_empty()));
    let worker = Worker::new(parts, control.clone(), kept)?;
    let thread = thread::Builder::new().name("cauce-stream".into()).spawn(move || worker.run())?;
    let tended = tending.start(metrics.clone())?;
    Ok(Backend {
        log: Arc::new(log),
        histories,
        upkeep: tending,
        threads: vec![tended],
        stream: Some(Stream { control, thread }),
    })
}

/// How many partitions the topics have, and whether a broker said so; as many as before, if none answers.
fn partitions(cluster: &Cluster, directory: &Path) -> Result<(usize, bool), AppError> {
    let remembered = directory.join(PARTITIONS);
    match cluster.partitions() {
        Ok(partitions) => {
            fs::create_dir_all(directory)?;
            fs::write(&remembered, partitions.to_string())?;
            Ok((partitions, true))
        }
        Err(error @ ClusterError::Client { .. }) => {
            let text = fs::read_to_string(&remembered).unwrap_or_default();
            let partitions = text.trim().parse().map_err(|_| error)?;
            tracing::warn!(
                partitions,
                "no broker answers: what this machine holds is served, and reading begins when one does"
            );
            Ok((partitions, false))
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the histories that this machine holds, each as of its last checkpoint.
fn held_here(
    config: &Config,
    bundle: &Bundle,
    histories: &Histories,
    tending: &Tending,
) -> Result<BTreeMap<i32, Arc<Tended>>, StateError> {
    let partitions = histories.partitions();
    let mut kept = BTreeMap::new();
    for partition in 0..partitions as i32 {
        if state_directory(&config.store, partition).exists() {
            let tended = Arc::new(open_slice(&config.store, bundle.plan(), partition, partitions)?);
            histories.put(partition as usize, tended.store.clone());
            tending.add(tended.clone());
            kept.insert(partition, tended);
        }
    }
    Ok(kept)
}
