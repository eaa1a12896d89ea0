//! `cauce topics`: makes the topics that are missing, and says of every one what is right, what is wrong, and what would be right.
//!
//! A topic that is there is never changed: adding partitions would move people away from their histories, and what a topic keeps is for
//! its owner to decide. [`problems`] judges plain facts; here they are asked for.

mod problems;

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use actix_web::rt::System;
use cauce_features::spec::Specification;
use clap::{Args, ValueEnum};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::metadata::Metadata;

use super::{ANSWER_TIMEOUT, Cluster, ClusterError, Plain};
use crate::config::{self, Config};
use crate::offline::plan_served;
use problems::{Facts, Keep, Problem, Role, TopicFacts, problems};

/// Partitions of topics that are created where none is there yet: so many instances can share the work.
const PARTITIONS: i32 = 12;

/// More copies of a record than this protect it no further in practice.
const MOST_REPLICAS: usize = 3;

/// How long a topic that was created may take to be known by the broker that is asked.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
#[group(skip)]
pub(crate) struct Topics {
    what: What,
    /// Partitions of a topic that is created; as many as the events topic has, or 12, if not said.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// Copies of each record of a topic that is created; one on each broker, at most 3, if not said.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    replication: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Create those that are missing, then check all.
    Create,
    /// Say what is wrong with them, and what would be right; ends with 1 if anything is.
    Check,
}

impl Topics {
    /// Creates or checks, and prints.
    pub(crate) fn run(self, config: &Config) -> Result<ExitCode, Box<dyn Error>> {
        let plan = plan_served(config)?;
        let admin = Admin::of(&Cluster::of(&config.kafka)?)?;
        let names = Role::ALL.map(|role| (role, role.name(&config.kafka)));
        if self.what == What::Create {
            self.create(&admin, &names, plan.specification())?;
        }
        let topics = admin.facts(&names)?;
        Ok(print(&topics, &problems(&topics, Keep::of(plan.specification()))))
    }

    fn create(
        &self,
        admin: &Admin,
        names: &[(Role, &str)],
        specification: &Specification,
    ) -> Result<(), Box<dyn Error>> {
        let metadata = admin.metadata()?;
        let there = |name: &str| metadata.topics().iter().find(|topic| topic.name() == name);
        let as_events = there(Role::Events.name(&admin.settings)).map(|topic| topic.partitions().len() as i32);
        let partitions = self.partitions.or(as_events).unwrap_or(PARTITIONS);
        let replicas = self.replication.unwrap_or(metadata.brokers().len().clamp(1, MOST_REPLICAS) as i32);
        let keep = Keep::of(specification);
        for &(role, name) in names {
            if there(name).is_none() {
                admin.create(name, partitions, replicas, &role.properties(keep, replicas))?;
                println!("created {name}");
            }
        }
        Ok(())
    }
}

/// One line for each topic that is right, one for each problem.
fn print(topics: &[TopicFacts], problems: &[Problem]) -> ExitCode {
    let width = topics.iter().map(|topic| topic.name.len()).max().unwrap_or(0);
    for topic in topics {
        let its: Vec<_> = problems.iter().filter(|problem| problem.topic == topic.name).collect();
        if let Some(facts) = &topic.facts {
            let verdict = if its.is_empty() { "right" } else { "there" };
            println!("{:<width$}  {verdict:<7}  {facts}", topic.name);
        }
        for problem in its {
            let verdict = if problem.is_wrong { "WRONG" } else { "warning" };
            println!("{:<width$}  {verdict:<7}  {}", topic.name, problem.says);
        }
    }
    if problems.iter().any(|problem| problem.is_wrong) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Asks the brokers for topics, and has them made.
struct Admin {
    client: AdminClient<Plain>,
    settings: config::Kafka,
    /// The client's calls are futures.
    runtime: actix_web::rt::SystemRunner,
}

impl Admin {
    fn of(cluster: &Cluster) -> Result<Self, ClusterError> {
        let client = AdminClient::from_config_and_context(&cluster.admin(), Plain)
            .map_err(|cause| ClusterError::Client { doing: "cannot make a Kafka client", cause })?;
        Ok(Self { client, settings: cluster.settings.clone(), runtime: System::new() })
    }

    fn metadata(&self) -> Result<Metadata, ClusterError> {
        self.client
            .inner()
            .fetch_metadata(None, ANSWER_TIMEOUT)
            .map_err(|cause| ClusterError::Client { doing: "no broker says which topics there are", cause })
    }

    /// Creates a topic, and waits until the brokers know it.
    fn create(
        &self,
        name: &str,
        partitions: i32,
        replicas: i32,
        properties: &[(&str, String)],
    ) -> Result<(), Box<dyn Error>> {
        let topic = NewTopic {
            name,
            num_partitions: partitions,
            replication: TopicReplication::Fixed(replicas),
            config: properties.iter().map(|(key, value)| (*key, value.as_str())).collect(),
        };
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(2 * PATIENCE));
        let results = self
            .runtime
            .block_on(self.client.create_topics([&topic], &options))
            .map_err(|cause| ClusterError::Client { doing: "cannot create topics", cause })?;
        for result in results {
            result.map_err(|(name, code)| format!("cannot create `{name}`: {code}"))?;
        }
        let since = Instant::now();
        while !self.metadata()?.topics().iter().any(|topic| topic.name() == name && !topic.partitions().is_empty()) {
            if since.elapsed() > PATIENCE {
                return Err(format!("`{name}` was created, but the brokers do not know it yet: check again").into());
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// What the brokers say of the topics.
    fn facts(&self, names: &[(Role, &str)]) -> Result<Vec<TopicFacts>, Box<dyn Error>> {
        let metadata = self.metadata()?;
        let mut topics = Vec::with_capacity(names.len());
        for &(role, name) in names {
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            let facts = match topic {
                Some(topic) => Some(Facts {
                    partitions: topic.partitions().len(),
                    replicas: topic.partitions().iter().map(|one| one.replicas().len()).min().unwrap_or(0),
                    properties: self.properties(name)?,
                }),
                None => None,
            };
            topics.push(TopicFacts { role, name: name.to_owned(), facts });
        }
        Ok(topics)
    }

    fn properties(&self, name: &str) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let asked = [ResourceSpecifier::Topic(name)];
        let answer = self
            .runtime
            .block_on(self.client.describe_configs(&asked, &options))
            .map_err(|cause| ClusterError::Client { doing: "no broker says how topics are kept", cause })?;
        let mut properties = BTreeMap::new();
        for resource in answer {
            let resource = resource.map_err(|code| format!("no broker says how `{name}` is kept: {code}"))?;
            properties.extend(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(properties)
    }
}
