//! A real Apache Kafka in KRaft mode, one process that is broker and controller: started, stopped, killed and started again.
//!
//! It listens on free loopback ports and keeps its data in a directory of its own. What shows exactly-once needs the real one:
//! librdkafka's mock cluster shows aborted records to a consumer that reads only committed ones.

/// Kills, outages and rebalances, held against a run in peace.
pub(crate) mod chaos;
/// What is written meanwhile.
mod load;
/// Topics and what is in them.
pub(crate) mod topics;

use std::fs::{self, File};
use std::io::pipe;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{Directory, repository};

/// Longer than a start takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// What suits a test: one of everything, few partitions of what the broker keeps itself, and nobody is waited for.
const PROPERTIES: &str = "
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=1048576
log.retention.ms=-1
num.network.threads=2
num.io.threads=2
background.threads=2
";

/// To a file, and no word of what goes well.
const LOGGING: &str = "
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d %p %c{1} %m%n
";

/// A broker. It ends with its value, or else with the process that started it, however that ends.
pub(crate) struct Broker {
    directory: Directory,
    port: u16,
    running: Option<Running>,
}

/// The process, and another that ends it when nobody is left to.
struct Running {
    broker: Child,
    guard: Child,
}

impl Broker {
    /// The one that the tests of this process share: each has topics and groups of its own.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| Self::new("kafka"))
    }

    /// One for somebody who stops it, or measures it.
    pub(crate) fn new(name: &str) -> Self {
        let (directory, port) = (Directory::new(name), free_port());
        let controller = free_port();
        let data = directory.path("data");
        let settings = format!(
            "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\nlog.dirs={}\n{PROPERTIES}",
            data.display()
        );
        directory.write("server.properties", &settings);
        directory.write("log4j2.properties", LOGGING);
        let mut new = Self { directory, port, running: None };
        let format = ["kafka.tools.StorageTool", "format", "--cluster-id", "cauce-tests", "--config"];
        let formatted = new.java(&format).arg(new.directory.path("server.properties")).output().expect("java runs");
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        new.start();
        new
    }

    /// What clients are told.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Settings of any client of it.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.address());
        // It comes back within a moment when a test has stopped it.
        config.set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "500");
        config.set("log_level", "0");
        config
    }

    /// Starts it, perhaps again, and waits until it answers.
    pub(crate) fn start(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut command = self.java(&["kafka.Kafka"]);
        command.arg(self.directory.path("server.properties"));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let broker = command.spawn().expect("java runs");
        let guard = guard(&broker);
        self.running = Some(Running { broker, guard });
        self.await_answer();
    }

    /// Stops it in an orderly way, and waits for the end.
    pub(crate) fn stop(&mut self) {
        let running = self.running.as_ref().expect("it runs");
        let asked = Command::new("kill").args(["-TERM", &running.broker.id().to_string()]).status().unwrap();
        assert!(asked.success());
        self.running.take().expect("it runs").end();
    }

    /// Ends it without a warning (SIGKILL).
    pub(crate) fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.broker.kill().unwrap();
        running.end();
    }

    fn log(&self) -> PathBuf {
        self.directory.path("broker.log")
    }

    /// The virtual machine with a class of Kafka's and its arguments. Tests run for a minute: they are not worth much compiling.
    fn java(&self, arguments: &[&str]) -> Command {
        let libraries = repository().join(".runtime/kafka/libs");
        let found = libraries.is_dir() && Command::new("java").arg("-version").output().is_ok();
        assert!(found, "these tests need Apache Kafka and Java: `make kafka` brings both");
        let mut command = Command::new("java");
        command.args(["-Xms256m", "-Xmx512m", "-XX:-UsePerfData"]);
        command.args(if cfg!(debug_assertions) {
            ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"].as_slice()
        } else {
            &[]
        });
        command.arg(format!("-Dlog4j2.configurationFile={}", self.directory.path("log4j2.properties").display()));
        command.arg("-cp").arg(libraries.join("*")).args(arguments).stdin(Stdio::null());
        command
    }

    fn await_answer(&mut self) {
        let begin = Instant::now();
        let client: BaseConsumer = self.client().create().unwrap();
        while client.fetch_metadata(None, Duration::from_millis(500)).is_err() {
            let broker = &mut self.running.as_mut().expect("it was just started").broker;
            let ended = broker.try_wait().unwrap();
            if ended.is_some() || begin.elapsed() > PATIENCE {
                panic!("the broker does not answer: {ended:?}\n{}", fs::read_to_string(self.log()).unwrap());
            }
            // Connections are refused at once.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

impl Running {
    /// Waits for the end of a broker that was told to end.
    fn end(mut self) {
        self.broker.wait().unwrap();
        // Its number may soon be that of another process.
        self.guard.kill().unwrap();
        self.guard.wait().unwrap();
    }
}

/// Ends the broker when this process is gone, even by SIGKILL: the other end of its pipe closes then.
fn guard(broker: &Child) -> Child {
    let (reader, writer) = pipe().unwrap();
    let script = format!("read -r line; kill -KILL {}", broker.id());
    let guard = Command::new("sh").args(["-c", &script]).stdin(reader).spawn().expect("sh runs");
    // Nobody may close it, and no other child inherits it.
    std::mem::forget(writer);
    guard
}

/// Below the ports that the system gives to outgoing connections: a broker comes back to its own.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 1_000) as u16 * 10;
    let ports = || Some(first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000);
    std::iter::from_fn(ports)
        .take(2_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a port is free")
}
