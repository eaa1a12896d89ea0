//! Instances killed at random moments, a broker that stops and is killed, one instance, then three, then one: and every application is
//! scored once, as in a run in which nothing happened.
//!
//! A writer goes on all the while. Afterwards a new group reads the same topics in peace, and what both have written is held against each
//! other and against what the topics ask for: a score of each application, byte for byte the same, and a dead letter of each poisoned record.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::Broker;
use super::load::{Load, POISON, place};
use super::topics::{Record, Topics};
use crate::support::crash::digest;
use crate::support::history::{BUNDLE, DAY_MS, Random};
use crate::support::{Directory, Server, binary, serve};

const PARTITIONS: i32 = 4;
const PEOPLE: u64 = 500;
const MOST_INSTANCES: usize = 3;
/// By then a transaction without an owner is over: its timeout, and how often the broker looks for such.
const TRANSACTIONS_END: Duration = Duration::from_secs(6);

/// How much happens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    pub(crate) kills: u64,
    /// Interruptions of the broker, the first a SIGKILL, then a stop, in turns.
    pub(crate) outages: u64,
    /// Records written in a second.
    pub(crate) pace: u64,
    /// Whether scores and offsets go out together. Otherwise a score may be there twice, and then has to be the same.
    pub(crate) transactions: bool,
}

/// What it has shown.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) kills: u64,
    pub(crate) outages: u64,
    pub(crate) records: u64,
    pub(crate) applications: u64,
    /// Scores that were there before the last kill: the kills came into the work.
    pub(crate) scored_meanwhile: u64,
    /// Records of transactions that did not come to their end.
    pub(crate) aborted: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// Scores that are not those of the run in peace.
    pub(crate) different: u64,
    pub(crate) dead_letters_expected: u64,
    pub(crate) dead_letters_seen: u64,
    pub(crate) digest_equal: bool,
    /// Seconds from the last kill until everything was scored.
    pub(crate) caught_up_s: f64,
    /// Everything else that was not as it should be, in words.
    pub(crate) faults: Vec<String>,
}

/// What the writer is told.
#[derive(Default)]
struct Signals {
    done: AtomicBool,
    /// To write nothing for a while.
    quiet: AtomicBool,
}

/// A broker and the instances at it.
struct Chaos {
    plan: Plan,
    broker: Broker,
    topics: Topics,
    random: Random,
    data: Directory,
    instances: [Option<Server>; MOST_INSTANCES],
    report: Report,
}

/// Lets it all happen.
pub(crate) fn run(plan: Plan) -> Report {
    // Not while the writer writes.
    binary();
    let broker = Broker::new(&format!("{}-kafka", plan.name));
    let topics = Topics::named("chaos", PARTITIONS);
    broker.create_all(&topics);
    let mut chaos = Chaos {
        plan,
        broker,
        topics,
        random: Random(plan.seed),
        data: Directory::new(plan.name),
        instances: [const { None }; MOST_INSTANCES],
        report: Report::default(),
    };
    chaos.happen();
    chaos.settle();
    chaos.report
}

impl Chaos {
    /// Kills and outages while a writer writes.
    fn happen(&mut self) {
        let signals = Signals::default();
        let (writer, topics, plan) = (self.broker.writer(), self.topics.clone(), self.plan);
        thread::scope(|scope| {
            let writing = scope.spawn(|| write(writer, &topics, plan, &signals));
            while self.report.kills < plan.kills {
                self.step(&signals);
            }
            self.report.scored_meanwhile = self.broker.read(&self.topics.scores).len() as u64;
            signals.done.store(true, Ordering::Relaxed);
            self.report.records = writing.join().expect("all is written");
        });
    }

    /// One instance, then three, then one; a while; a kill or an outage.
    fn step(&mut self, signals: &Signals) {
        let (at, plan) = (self.report.kills, self.plan);
        let wanted = if at * 4 < plan.kills || at * 4 >= plan.kills * 3 { 1 } else { MOST_INSTANCES };
        self.keep(wanted);
        thread::sleep(Duration::from_millis(self.random.below(1_500)));
        // Spread evenly among the kills.
        if self.report.outages * (plan.kills + 1) < plan.outages * (at + 1) {
            self.interrupt(signals);
        }
        let victim = self.random.below(wanted as u64) as usize;
        if let Some(server) = self.instances[victim].take() {
            server.kill();
            self.report.kills += 1;
        }
        if self.random.one_in(6) {
            // A disk is lost: its histories are made anew.
            let _ = std::fs::remove_dir_all(self.directory(victim));
        }
        if self.random.one_in(4) {
            self.kill_a_start(victim);
        }
    }

    /// Starts what is missing, and stops in an orderly way what is too much.
    fn keep(&mut self, wanted: usize) {
        for number in 0..MOST_INSTANCES {
            if number >= wanted {
                if let Some(code) = self.instances[number].take().map(Server::stop)
                    && code != Some(0)
                {
                    self.report.faults.push(format!("instance {number} ended {code:?} when told to stop"));
                }
            } else if self.instances[number].is_none() {
                self.instances[number] = self.start(number);
            }
        }
    }

    fn start(&mut self, number: usize) -> Option<Server> {
        match Server::try_launch(&mut serve(&self.directory(number), self.settings(&self.topics, number))) {
            Ok(server) => Some(server),
            Err(ended) => {
                self.report.faults.push(format!("instance {number} did not start: {}", ended.stderr()));
                None
            }
        }
    }

    /// A kill before it even listens.
    fn kill_a_start(&mut self, number: usize) {
        let mut command = serve(&self.directory(number), self.settings(&self.topics, number));
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary was built");
        thread::sleep(Duration::from_millis(self.random.below(800)));
        process.kill().unwrap();
        process.wait().unwrap();
        self.report.kills += 1;
    }

    /// The broker goes, and comes back.
    /// A broker that is alone skips the end of a transaction that it finds when it starts again: it is not yet its own partitions' leader,
    /// and takes them for deleted. What was in it is then pending for good, so transactions are given the time to end before.
    fn interrupt(&mut self, signals: &Signals) {
        signals.quiet.store(self.plan.transactions, Ordering::Relaxed);
        if self.plan.transactions {
            self.broker.await_caught_up(&self.topics);
            thread::sleep(TRANSACTIONS_END);
        }
        if self.report.outages.is_multiple_of(2) {
            self.broker.kill()
        } else {
            self.broker.stop()
        }
        self.broker.start();
        signals.quiet.store(false, Ordering::Relaxed);
        self.report.outages += 1;
    }

    fn directory(&self, number: usize) -> std::path::PathBuf {
        self.data.path(&format!("instance-{number}"))
    }

    /// Silent instances are given up soon, and checkpoints are frequent.
    fn settings(&self, topics: &Topics, number: usize) -> Vec<String> {
        let settings = [
            format!("model.bundle={BUNDLE}"),
            "server.workers=1".to_owned(),
            format!("kafka.instance={}-{number}", topics.group),
            format!("kafka.transactions={}", self.plan.transactions),
            "kafka.session_timeout=2s".to_owned(),
            "kafka.transaction_timeout=4s".to_owned(),
            "kafka.vectors=true".to_owned(),
            "store.checkpoint_every=200ms".to_owned(),
        ];
        let mut arguments = topics.settings(&self.broker);
        arguments.extend(settings.into_iter().flat_map(|setting| ["--set".to_owned(), setting]));
        arguments
    }

    /// Lets everything come to its end, and holds it against what had to come.
    fn settle(&mut self) {
        let begin = Instant::now();
        self.keep(1);
        self.broker.await_caught_up(&self.topics);
        self.report.caught_up_s = begin.elapsed().as_secs_f64();
        let as_of_ms = now_ms() + DAY_MS;
        let server = self.instances[0].take().expect("it was started");
        let served = digest(&server, as_of_ms);
        self.end(server);

        let peace = self.topics.again("peace");
        self.broker.create_outputs(&peace);
        let arguments = self.settings(&peace, MOST_INSTANCES);
        let server = Server::start_in(&self.directory(MOST_INSTANCES), arguments);
        self.broker.await_caught_up(&peace);
        self.report.digest_equal = digest(&server, as_of_ms) == served;
        self.end(server);
        self.compare(&peace);
    }

    fn end(&mut self, server: Server) {
        let code = server.stop();
        if code != Some(0) {
            self.report.faults.push(format!("ended {code:?} when told to stop"));
        }
    }

    fn compare(&mut self, peace: &Topics) {
        let mut expected = Expected::default();
        self.topics.inputs().iter().for_each(|topic| expected.add(topic, &self.broker.read(topic), &self.topics));
        let [scores, undisturbed] = [&self.topics, peace].map(|topics| self.broker.read(&topics.scores));
        self.report.aborted = (self.broker.read_uncommitted(&self.topics.scores).len() - scores.len()) as u64;
        self.report.applications = expected.applications.len() as u64;
        self.report.hold(&expected, &by_id(&scores), &by_id(&undisturbed));
        self.report.dead_letters_expected = expected.dead_letters.len() as u64;
        for topics in [peace, &self.topics] {
            let mut letters = self.broker.read(&topics.dead_letters);
            self.report.dead_letters_seen = letters.len() as u64;
            if !self.plan.transactions {
                let place = |letter: &Record| letter.headers.clone();
                letters.sort_by_key(place);
                letters.dedup_by_key(|letter| place(letter));
            }
            expected.hold(&letters, &mut self.report.faults);
        }
    }
}

impl Report {
    /// Each application has its one score, and that is the one that it has in peace.
    fn hold(&mut self, expected: &Expected, seen: &ById<'_>, undisturbed: &ById<'_>) {
        self.lost = expected.applications.iter().filter(|id| !seen.contains_key(*id)).count() as u64;
        self.duplicated = seen.values().map(|scores| scores.len() as u64 - 1).sum();
        for (id, scores) in seen {
            let same = |one: &Record| scores.iter().all(|score| score.value == one.value);
            let alike = matches!(undisturbed.get(id).map(Vec::as_slice), Some([one]) if same(one));
            if !alike {
                self.different += 1;
                self.faults.extend((self.different == 1).then(|| tell(id, scores[0], undisturbed.get(id))));
            }
        }
        let unasked = seen.keys().filter(|id| !expected.applications.contains(*id)).count();
        if unasked > 0 || undisturbed.len() != expected.applications.len() {
            self.faults.push(format!("{unasked} scores of no application; {} in peace", undisturbed.len()));
        }
    }
}

/// What the topics ask for.
#[derive(Default)]
struct Expected {
    applications: BTreeSet<String>,
    /// The records that nobody can use, by their places.
    dead_letters: BTreeMap<String, Record>,
}

impl Expected {
    fn add(&mut self, topic: &str, records: &[Record], topics: &Topics) {
        for record in records {
            if record.header(POISON).is_some() {
                self.dead_letters.insert(place(topic, record), record.clone());
            } else if topic == topics.applications {
                self.applications.insert(place(topic, record));
            }
        }
    }

    /// Each is there once, with its reason, its bytes and its headers.
    fn hold(&self, letters: &[Record], faults: &mut Vec<String>) {
        let mut missing: BTreeSet<&String> = self.dead_letters.keys().collect();
        for letter in letters {
            let [topic, partition, offset] = ["topic", "partition", "offset"]
                .map(|name| letter.header(&format!("cauce-{name}")).unwrap_or_default().to_owned());
            let place = format!("{topic}/{partition}/{offset}");
            let Some(original) = self.dead_letters.get(&place).filter(|_| missing.remove(&place)) else {
                faults.push(format!("not a dead letter, or there twice: {place}: {letter:?}"));
                continue;
            };
            let whole = (&original.key, &original.value) == (&letter.key, &letter.value)
                && letter.headers.starts_with(&original.headers);
            if !whole || letter.header("cauce-reason") != original.header(POISON) {
                faults.push(format!("{place}: {original:?} became {letter:?}"));
            }
        }
        faults.extend(missing.into_iter().map(|place| format!("{place} is no dead letter")));
    }
}

/// The scores of each application, by its place.
type ById<'records> = BTreeMap<String, Vec<&'records Record>>;

fn by_id(scores: &[Record]) -> ById<'_> {
    let mut by_id = ById::new();
    for score in scores {
        by_id.entry(score.header("cauce-id").unwrap_or("none").to_owned()).or_default().push(score);
    }
    by_id
}

fn tell(id: &str, score: &Record, others: Option<&Vec<&Record>>) -> String {
    let text = |record: &Record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
    let others: Vec<String> = others.into_iter().flatten().map(|record| text(record)).collect();
    format!("{id}: {}\nin peace: {others:#?}", text(score))
}

/// Writes at a steady pace until told to stop; how many records.
fn write(mut writer: super::topics::Writer, topics: &Topics, plan: Plan, signals: &Signals) -> u64 {
    let (mut load, mut written, mut last) = (Load::new(PEOPLE, plan.seed), 0, Instant::now());
    while !signals.done.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(5));
        let due = last.elapsed().as_millis() as u64 * plan.pace / 1_000;
        if signals.quiet.load(Ordering::Relaxed) {
            last = Instant::now();
        } else if due > 0 {
            last = Instant::now();
            for _ in 0..due {
                let (lane, input) = load.next(now_ms());
                writer.send(lane.topic(topics), &input);
            }
            written += due;
        }
    }
    writer.finish();
    written
}

pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("it is after 1970").as_millis() as u64
}
