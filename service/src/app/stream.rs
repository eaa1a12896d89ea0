//! Kafka's topics as the log: the share of them that this instance is given, and what runs for it.
//!
//! Histories that are on this machine can be read before the first broker has answered, and while none does: scoring needs no broker.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use cauce_model::bundle::Bundle;
use cauce_model::onnx::OnnxModel;

use super::{AppError, Backend, Recovery};
use crate::clock::Clock;
use crate::config::Config;
use crate::kafka::applied::Applied;
use crate::kafka::front::KafkaLog;
use crate::kafka::partitioner::partition_of;
use crate::kafka::tending::{Tended, Tending};
use crate::kafka::worker::{Control, Parts, Worker, state_directory};
use crate::kafka::{Cluster, ClusterError};
use crate::metrics::Metrics;
use crate::metrics::kafka::KafkaMetrics;
use crate::scoring::Batch;
use crate::store::{Bounds, Embedded, Histories, Positions, StateError, Store};

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
    clock: Clock,
    metrics: &Arc<Metrics>,
    recovery: Recovery,
) -> Result<Backend, AppError> {
    let cluster = Cluster::of(&config.kafka)?;
    let partitions = partitions(&cluster, &config.store.directory)?;
    if recovery.rebuild_state {
        for partition in 0..partitions {
            Embedded::remove(&state_directory(&config.store, partition as i32))?;
        }
    }
    let histories = Arc::new(Histories::partitioned(partitions, partition_of));
    let kept = held_here(config, bundle, &histories)?;
    let (applied, tending) =
        (Arc::new(Applied::new(partitions)), Arc::new(Tending::new(bundle.clone(), clock, config.store.clone())));
    let log = KafkaLog::new(&cluster, applied.clone(), &config.log, recovery.accept_data_loss)?;
    let batch = |_| Ok::<_, AppError>(Batch::new(bundle.clone(), OnnxModel::new(bundle)?));
    let parts = Parts {
        cluster,
        bundle: bundle.clone(),
        batches: (0..config.server.workers).map(batch).collect::<Result<_, _>>()?,
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

/// How many partitions the topics have; as many as before, if no broker answers.
fn partitions(cluster: &Cluster, directory: &Path) -> Result<usize, AppError> {
    let remembered = directory.join(PARTITIONS);
    match cluster.partitions() {
        Ok(partitions) => {
            fs::create_dir_all(directory)?;
            fs::write(&remembered, partitions.to_string())?;
            Ok(partitions)
        }
        Err(error @ ClusterError::Client { .. }) => {
            let text = fs::read_to_string(&remembered).unwrap_or_default();
            let partitions = text.trim().parse().map_err(|_| error)?;
            tracing::warn!(
                partitions,
                "no broker answers: what this machine holds is served, and reading begins when one does"
            );
            Ok(partitions)
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens the histories that this machine holds, each as of its last checkpoint.
fn held_here(
    config: &Config,
    bundle: &Arc<Bundle>,
    histories: &Histories,
) -> Result<BTreeMap<i32, Arc<Tended>>, StateError> {
    let partitions = histories.partitions();
    let mut kept = BTreeMap::new();
    for partition in 0..partitions as i32 {
        let directory = state_directory(&config.store, partition);
        if !directory.exists() {
            continue;
        }
        let state = Arc::new(Embedded::open_slice(&directory, partitions)?);
        let store = Arc::new(Store::open(state, Bounds::from(&config.store).shared_by(partitions), bundle.plan())?);
        let reached = store.checkpointed()?.map_or_else(Positions::default, |checkpoint| checkpoint.reached);
        histories.put(partition as usize, store.clone());
        kept.insert(partition, Arc::new(Tended::new(partition, store, reached)));
    }
    Ok(kept)
}
