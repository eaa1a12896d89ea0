//! What fires, in one small file, so that a restart neither tells it twice nor forgets that somebody waits to hear that it is over.
//!
//! It is written whole where an alert begins or ends and at a stop, and is not there while nothing fires. It knows no more than
//! `/v1/alerts`: rules, features and dependencies, never people. A file that cannot be read costs these notices and no start.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use cauce_features::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::rules::RULES;
use crate::kpi::snapshot::{Alert, AlertState};
use crate::log::manifest;

/// What is read at most: many times what all rules need (S5).
const BYTES_MOST: u64 = 1 << 20;

/// The file, which nobody else writes.
#[derive(Debug)]
pub struct KeptFile {
    path: PathBuf,
}

/// An alert that fires, and whether all who are to hear so may have.
#[derive(Debug, PartialEq)]
pub struct Kept {
    pub alert: Alert,
    pub is_told: bool,
}

/// One in the file: what the table of rules says of it stands there.
#[derive(Debug, Deserialize, Serialize)]
struct Entry {
    id: String,
    rule: String,
    subject: Option<String>,
    summary: String,
    value: f64,
    threshold: f64,
    since: String,
    told: bool,
}

impl KeptFile {
    pub fn new(path: &Path) -> Self {
        // Its directory has a name then.
        Self { path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()) }
    }

    /// What fired before.
    pub fn load(&self) -> Vec<Kept> {
        match read(&self.path) {
            Ok(kept) => kept,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "`alerts.file` cannot be read: what fired before the start is forgotten");
                Vec::new()
            }
        }
    }

    /// Writes what fires, and of what was not delivered that an alert begins or is over.
    pub fn save(&self, firing: &[Alert], undelivered: &[Alert]) {
        let is_owed =
            |alert: &Alert| undelivered.iter().any(|one| one.id == alert.id && one.state == AlertState::Firing);
        let mut entries: Vec<_> = firing.iter().map(|alert| Entry::of(alert, !is_owed(alert))).collect();
        // Who was not told that it is over is told by the next start, to which it fires until it has looked.
        for over in undelivered.iter().filter(|one| one.state == AlertState::Resolved) {
            if entries.iter().all(|entry| *entry.id != *over.id) {
                entries.push(Entry::of(over, true));
            }
        }
        if let Err(error) = self.write(&entries) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "`alerts.file` cannot be written: a restart may tell alerts twice or leave their end out");
        }
    }

    fn write(&self, entries: &[Entry]) -> io::Result<()> {
        if entries.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        fs::create_dir_all(self.path.parent().unwrap_or(Path::new("/")))?;
        manifest::replace(&self.path, &serde_json::to_vec_pretty(entries)?)
    }
}

fn read(path: &Path) -> io::Result<Vec<Kept>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(BYTES_MOST).read_to_end(&mut bytes)?;
    let entries: Vec<Entry> = serde_json::from_slice(&bytes)?;
    entries.into_iter().filter_map(|entry| entry.kept().transpose()).collect()
}

impl Entry {
    fn of(alert: &Alert, told: bool) -> Self {
        Self {
            id: alert.id.to_string(),
            rule: alert.rule.to_owned(),
            subject: alert.subject.as_deref().map(str::to_owned),
            summary: alert.summary.clone(),
            value: alert.value,
            threshold: alert.threshold,
            since: alert.since.to_string(),
            told,
        }
    }

    /// None of a rule that is no more.
    fn kept(self) -> io::Result<Option<Kept>> {
        let Some(rule) = RULES.iter().find(|rule| rule.name == self.rule) else { return Ok(None) };
        let since = Timestamp::parse(&self.since).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let alert = Alert {
            id: self.id.into(),
            rule: rule.name,
            subject: self.subject.map(Into::into),
            severity: rule.severity,
            state: AlertState::Firing,
            summary: self.summary,
            advice: rule.advice,
            value: self.value,
            threshold: self.threshold,
            since,
            resolved: None,
        };
        Ok(Some(Kept { alert, is_told: self.told }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("cauce-alerts-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        path
    }

    fn alert(id: &str, state: AlertState) -> Alert {
        let rule = RULES.iter().find(|rule| id.starts_with(rule.name)).unwrap();
        Alert {
            id: id.into(),
            rule: rule.name,
            subject: id.split_once('/').map(|(_, subject)| subject.into()),
            severity: rule.severity,
            state,
            summary: "it is as it is".into(),
            advice: rule.advice,
            value: 0.5,
            threshold: 0.25,
            since: Timestamp::parse("2026-06-20T12:00:00Z").unwrap(),
            resolved: None,
        }
    }

    use AlertState::{Firing, Resolved};

    #[test]
    fn what_is_kept_is_read_as_it_was_with_what_is_owed() {
        let path = directory("kept").join("new/alerts.json");
        let file = KeptFile::new(&path);
        assert!(file.load().is_empty());
        let [breaker, drift] = ["breaker_open/model", "feature_drift"].map(|id| alert(id, Firing));
        let kept = |alert: &Alert, is_told| Kept { alert: alert.clone(), is_told };
        file.save(&[breaker.clone(), drift.clone()], &[]);
        assert_eq!(file.load(), [kept(&breaker, true), kept(&drift, true)]);
        // One that begins was not heard of, and of another that ended not that it did, by two receivers.
        let over = alert("memory", Resolved);
        file.save(std::slice::from_ref(&breaker), &[breaker.clone(), over.clone(), over]);
        assert_eq!(file.load(), [kept(&breaker, false), kept(&alert("memory", Firing), true)]);
        file.save(&[], &[]);
        assert!(!path.exists());
        file.save(&[], &[]);
        fs::remove_dir_all(path.parent().and_then(Path::parent).unwrap()).unwrap();
    }

    #[test]
    fn damaged_file_is_an_empty_start() {
        let path = directory("damaged").join("alerts.json");
        let file = KeptFile::new(&path);
        file.save(&[alert("memory", Firing)], &[]);
        let whole = fs::read_to_string(&path).unwrap();
        for damaged in ["", &whole[..whole.len() / 2], "[{}]", "\0", &whole.replace("2026", "20x6")] {
            fs::write(&path, damaged).unwrap();
            assert!(file.load().is_empty(), "{damaged}");
        }
        fs::write(&path, whole.replace("\"memory\"", "\"moon\"")).unwrap();
        assert!(file.load().is_empty(), "a rule that is no more");
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
