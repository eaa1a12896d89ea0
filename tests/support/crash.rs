//! Rounds of concurrent writing and SIGKILL, held against what was acknowledged (S2, F1).
//!
//! A [`Crash`] keeps one data directory and a ledger of every event it ever sent. In a round, writers post events singly and in
//! batches, send earlier ones again and score applications, until the server is killed at a random moment; sometimes somebody was
//! erased just before, and sometimes the next start is killed too. The server that starts then is asked for everything that
//! was acknowledged, and its digest is compared with that of a replay of the log as the kill left it. Between rounds the clock moves
//! on, so that events leave the horizon.
//!
//! What was in flight may be there or not; which of the two is settled by the first look, and must then stay so.

/// What was sent, and what became of it.
mod ledger;
/// What the writers do until their server is gone.
mod writer;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ledger::Ledger;
use serde_json::Value;
use writer::Writer;

use super::client::Client;
use super::history::{DAY_MS, MINUTE_MS, NOW_MS, Random, instant};
use super::{Directory, Server, cauce, serve};

const WRITERS: u64 = 4;
const PEOPLE: u64 = 1_000;
const HORIZON_MS: u64 = 90 * DAY_MS;

/// One directory through many crashes.
pub(crate) struct Crash {
    data: Directory,
    random: Random,
    ledger: Ledger,
    now_ms: u64,
    /// The server that stood up after the last crash: it takes the writes of the next round.
    server: Option<Server>,
    report: Report,
}

/// What the crashes have shown.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rounds: u64,
    pub(crate) acknowledged: u64,
    pub(crate) acknowledged_lost: u64,
    pub(crate) applied_twice: u64,
    pub(crate) digests_compared: u64,
    /// Everything else that was not as it should be, in words.
    pub(crate) faults: Vec<String>,
}

impl Crash {
    pub(crate) fn new(name: &str, seed: u64) -> Self {
        Self {
            data: Directory::new(name),
            random: Random(seed),
            ledger: Ledger::default(),
            now_ms: NOW_MS,
            server: None,
            report: Report::default(),
        }
    }

    /// Writes, a kill, a start, and a look at everything.
    pub(crate) fn round(&mut self) {
        let server = self.server.take().unwrap_or_else(|| self.start());
        if self.random.one_in(4) {
            self.erase_somebody(&server);
        }
        self.write_until_killed(server);
        if self.random.one_in(5) {
            self.kill_a_start();
        }
        self.report.rounds += 1;
        self.now_ms += self.random.below(6 * 60) * MINUTE_MS;
        // Of what the kill left, before a start puts it in order.
        let replayed = self.report.rounds.is_multiple_of(4).then(|| replay(self.data.root(), &instant(self.now_ms)));
        let server = self.start();
        if let Some(replayed) = replayed {
            self.report.compare(&digest(&server, self.now_ms), &replayed);
        }
        self.look(&server);
        self.server = Some(server);
    }

    /// What was shown until now.
    pub(crate) fn so_far(&self) -> &Report {
        &self.report
    }

    /// Ends in an orderly way; the directory has to be whole, and to replay to what was served last.
    pub(crate) fn finish(self) -> Report {
        let Self { data, mut report, server, now_ms, .. } = self;
        let server = server.expect("there was a round");
        let served = digest(&server, now_ms);
        let code = server.stop();
        report.compare(&served, &replay(data.root(), &instant(now_ms)));
        let verified = cauce(["verify".as_ref(), "--data".as_ref(), data.root().as_os_str()]);
        if code != Some(0) || verified.code() != Some(0) {
            let verified = verified.stdout() + &verified.stderr();
            report.faults.push(format!("ended {code:?} when told to stop, then verified: {verified}"));
        }
        report
    }

    /// Several segments, checkpoints without end, and every other time hardly any memory.
    fn settings(&self) -> Vec<String> {
        let settings = [
            "log.segment=1MiB",
            "store.checkpoint_every=50ms",
            "store.sweep=500ms",
            // What is asked here is whether it is durable, not how soon: on a busy machine nothing is refused or given up for its time.
            "budget.score=30s",
            "budget.events=30s",
            "budget.query=30s",
            "admission.delay=0ms",
            "breaker.slow_percent=101",
            "server.shutdown_timeout=2m",
            if self.has_little_memory() { "store.memory=128KiB" } else { "store.memory=64MiB" },
            if self.applications_are_durable() { "log.applications=durable" } else { "log.applications=relaxed" },
        ];
        let mut arguments = vec!["--workers".to_owned(), "2".to_owned(), "--clock".to_owned(), instant(self.now_ms)];
        arguments.extend(settings.iter().flat_map(|setting| ["--set".to_owned(), (*setting).to_owned()]));
        arguments
    }

    fn start(&self) -> Server {
        Server::start_in(self.data.root(), self.settings())
    }

    /// A crash while the last one is being recovered from.
    fn kill_a_start(&mut self) {
        let mut command = serve(self.data.root(), self.settings());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = command.spawn().expect("the binary was built");
        std::thread::sleep(Duration::from_millis(self.random.below(400)));
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Files are rewritten in the background: the kill comes in between. Writers may begin the person anew.
    fn erase_somebody(&mut self, server: &Server) {
        let person = self.random.below(PEOPLE);
        let answer = server.send("DELETE", &format!("/v1/people/p-{person}"), &[], b"");
        match answer.status {
            200 | 404 => self.ledger.forget(person),
            _ => self.report.faults.push(format!("an erasure was answered: {}", answer.text())),
        }
    }

    fn write_until_killed(&mut self, server: Server) {
        let threads: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (writer, authority) = (self.writer(number), server.authority().to_owned());
                std::thread::spawn(move || writer.write(&authority))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(5 + self.random.below(296)));
        server.kill();
        for thread in threads {
            let writer = thread.join().expect("a writer ends with its server");
            self.report.faults.extend(writer.faults);
            self.report.acknowledged += self.ledger.add(writer.sent, &mut self.report.faults);
        }
    }

    fn writer(&mut self, number: u64) -> Writer {
        Writer {
            random: Random(self.random.below(u64::MAX)),
            now_ms: self.now_ms,
            first_id: (self.report.rounds * WRITERS + number) << 24,
            durable_applications: self.applications_are_durable(),
            little_memory: self.has_little_memory(),
            earlier: self.ledger.sample(&mut self.random, 200, self.now_ms),
            sent: Vec::new(),
            faults: Vec::new(),
        }
    }

    fn applications_are_durable(&self) -> bool {
        self.report.rounds % 2 == 1
    }

    fn has_little_memory(&self) -> bool {
        self.report.rounds % 4 >= 2
    }

    /// Asks for what was acknowledged, in every way there is.
    fn look(&mut self, server: &Server) {
        let mut client = Client::connect(server.authority()).unwrap();
        let mut people = self.ledger.unsettled_people();
        people.extend((0..20).map(|_| self.random.below(PEOPLE)));
        people.sort_unstable();
        people.dedup();
        for person in people {
            self.ledger.look_at(person, &mut client, self.now_ms, &mut self.report);
        }
        let mut again = self.ledger.newest(self.now_ms);
        again.extend(self.ledger.sample(&mut self.random, 500, self.now_ms));
        self.ledger.send_again(&again, &mut client, &mut self.report);
        let few = self.ledger.sample(&mut self.random, 30, self.now_ms);
        self.ledger.expect_positions(&few, &mut client, &mut self.report);
    }
}

impl Report {
    /// The digest that is served, and what a replay has said.
    fn compare(&mut self, served: &str, replayed: &str) {
        self.digests_compared += 1;
        if !replayed.contains(served) {
            self.faults.push(format!("round {}: served {served}, replayed {replayed}", self.rounds));
        }
    }
}

/// What `cauce replay` says of a directory that no server uses.
pub(crate) fn replay(data: &Path, as_of: &str) -> String {
    let arguments = ["replay".as_ref(), "--data".as_ref(), data.as_os_str(), "--as-of".as_ref(), as_of.as_ref()];
    let replayed = cauce(arguments);
    replayed.stdout() + &replayed.stderr()
}

/// The digest that a running server gives of its state.
pub(crate) fn digest(server: &Server, as_of_ms: u64) -> String {
    let answer = server.get(&format!("/v1/admin/digest?as_of={}", instant(as_of_ms)));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let document: Value = answer.json();
    document["digest"].as_str().expect("a digest is text").to_owned()
}
