//! The broker of these tests keeps what it acknowledged, and shows nobody what was aborted: everything else here rests on that.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::support::kafka::Broker;
use crate::support::kafka::topics::Input;

#[test]
fn acknowledged_records_are_there_after_a_kill_and_a_stop() {
    let mut broker = Broker::new("kafka-restarted");
    broker.create("kept", 2, &[]);
    let records = |numbers: std::ops::Range<u32>| numbers.map(|number| Input::new(&number.to_string(), "x"));
    broker.write("kept", records(0..100));
    broker.kill();
    broker.start();
    broker.write("kept", records(100..200));
    broker.stop();
    broker.start();
    assert_eq!(broker.read("kept").len(), 200);
    assert_eq!(broker.ends("kept").iter().sum::<i64>(), 200);
}

#[test]
fn aborted_records_are_seen_only_by_those_who_ask_for_them() {
    let broker = Broker::shared();
    broker.create("aborted", 1, &[]);
    let producer: BaseProducer = broker.client().set("transactional.id", "aborted").create().unwrap();
    let patience = Duration::from_secs(20);
    producer.init_transactions(patience).unwrap();
    for commit in [false, true] {
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::to("aborted").key("a").payload(&commit.to_string())).unwrap();
        producer.flush(patience).unwrap();
        if commit { producer.commit_transaction(patience) } else { producer.abort_transaction(patience) }.unwrap();
    }
    let values = |records: Vec<crate::support::kafka::topics::Record>| -> Vec<Vec<u8>> {
        records.into_iter().filter_map(|record| record.value).collect()
    };
    assert_eq!(values(broker.read("aborted")), [b"true"]);
    assert_eq!(values(broker.read_uncommitted("aborted")), [b"false".to_vec(), b"true".to_vec()]);
}
