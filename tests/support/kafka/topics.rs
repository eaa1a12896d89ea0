//! The topics of one instance group, and what is in them: records written, read whole, and counted.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::Broker;

/// Longer than anything here takes, a broker's restart included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where records come from and go to: the `kafka` settings of a group of instances.
#[derive(Debug, Clone)]
pub(crate) struct Topics {
    pub(crate) group: String,
    pub(crate) events: String,
    pub(crate) applications: String,
    pub(crate) scores: String,
    pub(crate) dead_letters: String,
    pub(crate) deferred: String,
    pub(crate) partitions: i32,
}

impl Topics {
    /// Names that begin with this prefix; the topics do not exist yet.
    pub(crate) fn named(prefix: &str, partitions: i32) -> Self {
        let name = |name: &str| format!("{prefix}.{name}");
        Self {
            group: prefix.to_owned(),
            events: name("events"),
            applications: name("applications"),
            scores: name("scores"),
            dead_letters: name("dead-letters"),
            deferred: name("deferred"),
            partitions,
        }
    }

    /// Another group, which reads the same and writes elsewhere.
    pub(crate) fn again(&self, prefix: &str) -> Self {
        let inputs = self.clone();
        Self { events: inputs.events, applications: inputs.applications, ..Self::named(prefix, self.partitions) }
    }

    pub(crate) fn inputs(&self) -> [&str; 2] {
        [&self.events, &self.applications]
    }

    pub(crate) fn outputs(&self) -> [&str; 3] {
        [&self.scores, &self.dead_letters, &self.deferred]
    }

    /// What a server is told of them.
    pub(crate) fn settings(&self, broker: &Broker) -> Vec<String> {
        let named = [
            ("brokers", &broker.address()),
            ("group", &self.group),
            ("events", &self.events),
            ("applications", &self.applications),
            ("scores", &self.scores),
            ("dead_letters", &self.dead_letters),
            ("deferred", &self.deferred),
        ];
        named.iter().flat_map(|(name, value)| ["--set".to_owned(), format!("kafka.{name}={value}")]).collect()
    }
}

/// A record to be written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Input {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Of the producer's clock, unless the topic takes that of the broker.
    pub(crate) timestamp_ms: Option<i64>,
}

impl Input {
    pub(crate) fn new(key: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), value: Some(value.into()), ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn at(mut self, timestamp_ms: i64) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self
    }
}

/// A record as it stands in a topic.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let header = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.unwrap_or_default().to_vec());
        Self {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(header).collect(),
        }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.value.as_deref().unwrap_or_default()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        Some(std::str::from_utf8(value).unwrap())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        write!(f, "{}/{} at {}: ", self.partition, self.offset, self.timestamp_ms)?;
        write!(f, "{:?} = {:?}", self.key.as_deref().map(text), self.value.as_deref().map(text))?;
        self.headers.iter().try_for_each(|(name, value)| write!(f, ", {name}: {}", text(value)))
    }
}

impl Broker {
    /// Creates a topic; a setting is a line of `kafka-topics --config`.
    pub(crate) fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().unwrap();
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        topic.config = settings.to_vec();
        let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        let created = block_on(admin.create_topics([&topic], &options)).unwrap();
        created.into_iter().for_each(|created| assert_eq!(created, Ok(name.to_owned())));
    }

    /// Creates all topics of a group; the inputs take the broker's clock.
    pub(crate) fn create_all(&self, topics: &Topics) {
        let clock = [("message.timestamp.type", "LogAppendTime")];
        topics.inputs().iter().for_each(|name| self.create(name, topics.partitions, &clock));
        self.create_outputs(topics);
    }

    pub(crate) fn create_outputs(&self, topics: &Topics) {
        topics.outputs().iter().for_each(|name| self.create(name, topics.partitions, &[]));
    }

    /// A producer that writes each record once and in order, through restarts of the broker.
    pub(crate) fn writer(&self) -> Writer {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("linger.ms", "2").set("partitioner", "murmur2_random");
        config.set("compression.type", "zstd").set("queue.buffering.max.messages", "1000000");
        // What is refused would be sent again in vain: the test should hear of it.
        config.set("message.timeout.ms", PATIENCE.as_millis().to_string());
        let written = Written::default();
        Writer { producer: config.create_with_context(written.clone()).unwrap(), written, sent: 0 }
    }

    /// Writes records, and waits until all are there.
    pub(crate) fn write(&self, topic: &str, records: impl IntoIterator<Item = Input>) {
        let mut writer = self.writer();
        records.into_iter().for_each(|record| writer.send(topic, &record));
        writer.finish();
    }

    /// All that is in a topic, as a consumer sees it that reads only what was committed; sorted by partition and offset.
    pub(crate) fn read(&self, topic: &str) -> Vec<Record> {
        Reader::new(self, topic, "read_committed").to_end()
    }

    /// The same of a consumer that reads all, aborted transactions too.
    pub(crate) fn read_uncommitted(&self, topic: &str) -> Vec<Record> {
        Reader::new(self, topic, "read_uncommitted").to_end()
    }

    /// What a topic holds once it holds so many committed records; no more may come.
    #[track_caller]
    pub(crate) fn read_until(&self, topic: &str, count: usize) -> Vec<Record> {
        let reader = Reader::new(self, topic, "read_committed");
        for seen in 0..count {
            assert!(reader.next(PATIENCE).is_some(), "{seen} records in {topic} instead of {count}");
        }
        let records = self.read(topic);
        assert_eq!(records.len(), count, "{topic}: {records:?}");
        records
    }

    /// Where the partitions of a topic end.
    pub(crate) fn ends(&self, topic: &str) -> Vec<i64> {
        let client: BaseConsumer = self.client().create().unwrap();
        let partitions = 0..partitions(&client, topic);
        partitions.map(|partition| client.fetch_watermarks(topic, partition, PATIENCE).unwrap().1).collect()
    }

    /// How far a group has committed the partitions of a topic.
    pub(crate) fn committed(&self, group: &str, topic: &str) -> Vec<i64> {
        Progress::new(self, group, topic).committed()
    }

    /// How many records a group has not yet committed of what it reads. A transaction's end takes an offset too, and where one stands
    /// last in a deferred topic the consumer's position may be before it.
    pub(crate) fn lag(&self, topics: &Topics) -> i64 {
        let behind = |topic: &&str| -> i64 {
            let (ends, committed) = (self.ends(topic), self.committed(&topics.group, topic));
            ends.iter().zip(committed).map(|(end, committed)| end - committed).sum()
        };
        topics.inputs().iter().map(behind).sum()
    }

    /// Waits until a group has committed all that it reads.
    #[track_caller]
    pub(crate) fn await_caught_up(&self, topics: &Topics) {
        await_true(&format!("{} has caught up", topics.group), || self.lag(topics) == 0);
    }
}

/// Asks again and again how far a group has come in a topic.
pub(crate) struct Progress {
    client: BaseConsumer,
    partitions: TopicPartitionList,
}

impl Progress {
    pub(crate) fn new(broker: &Broker, group: &str, topic: &str) -> Self {
        let client: BaseConsumer = broker.client().set("group.id", group).create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked.add_partition_range(topic, 0, partitions(&client, topic) - 1);
        Self { client, partitions: asked }
    }

    /// What is committed by partition; 0 where nothing is.
    pub(crate) fn committed(&self) -> Vec<i64> {
        let committed = self.client.committed_offsets(self.partitions.clone(), PATIENCE).unwrap();
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        committed.elements().iter().map(|element| offset(element.offset())).collect()
    }
}

/// Waits until something holds; a bounded time.
#[track_caller]
pub(crate) fn await_true(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn partitions(client: &BaseConsumer, topic: &str) -> i32 {
    let metadata = client.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let count = metadata.topics()[0].partitions().len();
    assert!(count > 0, "there is no topic {topic}");
    count as i32
}

/// Writes records and counts what was acknowledged.
pub(crate) struct Writer {
    producer: ThreadedProducer<Written>,
    written: Written,
    sent: u64,
}

/// How many records were acknowledged, shared with the thread that hears of it.
#[derive(Clone, Default)]
struct Written(Arc<AtomicU64>);

impl ClientContext for Written {}

impl ProducerContext for Written {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            // Nobody hears a panic of this thread: the count is short at the end.
            eprintln!("a record was not written: {error}");
        } else {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    /// Sends a record to the partition of its key; it is there once [`Writer::finish`] has returned.
    pub(crate) fn send(&mut self, topic: &str, input: &Input) {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &input.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).headers(headers);
        (record.key, record.payload) = (input.key.as_deref(), input.value.as_deref());
        record.timestamp = input.timestamp_ms;
        while let Err((error, again)) = self.producer.send(record) {
            let full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert!(full, "a record was not taken: {error}");
            record = again;
            thread::sleep(Duration::from_millis(1));
        }
        self.sent += 1;
    }

    /// Waits until everything was acknowledged.
    pub(crate) fn flush(&self) {
        self.producer.flush(2 * PATIENCE).unwrap();
        assert_eq!(self.written.0.load(Ordering::Relaxed), self.sent, "some records were not written");
    }

    pub(crate) fn finish(self) {
        self.flush();
    }
}

/// Reads a topic from its beginning.
pub(crate) struct Reader {
    consumer: BaseConsumer,
    partitions: i32,
}

impl Reader {
    pub(crate) fn new(broker: &Broker, topic: &str, isolation: &str) -> Self {
        let mut config = broker.client();
        config.set("group.id", "nobody").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        config.set("isolation.level", isolation).set("fetch.wait.max.ms", "10");
        let consumer: BaseConsumer = config.create().unwrap();
        let partitions = partitions(&consumer, topic);
        let mut assigned = TopicPartitionList::new();
        for partition in 0..partitions {
            assigned.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assigned).unwrap();
        Self { consumer, partitions }
    }

    /// The next record; none if none comes for so long.
    pub(crate) fn next(&self, patience: Duration) -> Option<Record> {
        let begin = Instant::now();
        while let Some(left) = patience.checked_sub(begin.elapsed()) {
            // The end of a partition is no end here.
            if let Some(Ok(message)) = self.consumer.poll(left) {
                return Some(Record::of(&message));
            }
        }
        None
    }

    /// Every record up to where the partitions end by now.
    pub(crate) fn to_end(&self) -> Vec<Record> {
        let (mut records, mut ended, begin) = (Vec::new(), HashMap::new(), Instant::now());
        while ended.len() < self.partitions as usize {
            assert!(begin.elapsed() < PATIENCE, "a topic is not read to its end");
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => records.push(Record::of(&message)),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    ended.insert(partition, ());
                }
                // The broker may be away for a moment.
                Some(Err(_)) | None => {}
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }
}

/// Waits for what another thread makes: librdkafka's own ones do the work.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Waiting(Thread);
    impl Wake for Waiting {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Waiting(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}
