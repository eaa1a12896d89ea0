//! What the directory of a log says of itself: whose log it is, where it begins, and how far it was acknowledged.
//!
//! The manifest is replaced whole. How far was acknowledged stands in a file of its own that is overwritten after every sync and
//! never synced itself: it outlives the process, and after a loss of power it can only say too little. So it tells a write that a
//! crash cut short, and that nobody was told of, from acknowledged records that have gone (S2).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::Position;

const MANIFEST: &str = "manifest.json";
const ACKNOWLEDGED: &str = "acknowledged";
const VERSION: u32 = 1;

/// Whose log this is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    version: u32,
    /// Random; stands in every segment, and keys the hashes of people.
    #[serde(with = "hexadecimal")]
    pub(super) log_id: u128,
    /// The oldest position that is held.
    pub(super) first: Position,
}

/// How far was acknowledged.
pub(super) struct Acknowledged(File);

impl Manifest {
    pub(super) fn new(log_id: u128, first: Position) -> Self {
        Self { version: VERSION, log_id, first }
    }

    /// The manifest of a directory, `None` if there is none.
    pub(super) fn read(directory: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read(directory.join(MANIFEST)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| io::Error::other(format!("`{MANIFEST}` is damaged: {error}")))?;
        if manifest.version != VERSION {
            let version = manifest.version;
            return Err(io::Error::other(format!(
                "`{MANIFEST}` has version {version}, this program reads version {VERSION}"
            )));
        }
        Ok(Some(manifest))
    }

    /// Puts it in the place of the one that is there.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).expect("a manifest is plain values");
        replace(&directory.join(MANIFEST), &text)
    }

    /// The 32 bits by which the index finds a person.
    pub(super) fn person_hash(&self, person: &str) -> u32 {
        xxhash_rust::xxh3::xxh3_64_with_seed(person.as_bytes(), self.log_id as u64) as u32
    }

    /// What stands for a person in the record of their erasure: it finds them, and does not name them. Its low 32 bits are those of
    /// the index.
    pub(super) fn erasure_hash(&self, person: &str) -> u128 {
        let wide = xxhash_rust::xxh3::xxh3_128_with_seed(person.as_bytes(), (self.log_id >> 64) as u64);
        wide >> 32 << 32 | u128::from(self.person_hash(person))
    }
}

impl Acknowledged {
    /// The file to write on.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        File::options().write(true).create(true).truncate(false).open(directory.join(ACKNOWLEDGED)).map(Self)
    }

    /// How far was acknowledged, `None` if that is not known.
    pub(super) fn read(directory: &Path) -> Option<Position> {
        let mut bytes = [0; 16];
        let file = File::open(directory.join(ACKNOWLEDGED)).ok()?;
        file.read_exact_at(&mut bytes, 0).ok()?;
        let (position, checksum) = bytes.split_at(8);
        (checksum == xxh3_64(position).to_le_bytes())
            .then(|| Position(u64::from_le_bytes(position.try_into().expect("eight bytes"))))
    }

    /// Everything before `end` is durable.
    pub(super) fn write(&self, end: Position) -> io::Result<()> {
        let position = end.0.to_le_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&position);
        bytes[8..].copy_from_slice(&xxh3_64(&position).to_le_bytes());
        self.0.write_all_at(&bytes, 0)
    }
}

/// Puts a file in the place of another, whole or not at all.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let next = path.with_extension("next");
    let file = File::create(&next)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Makes names durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{number:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        u128::from_str_radix(&String::deserialize(deserializer)?, 16).map_err(de::Error::custom)
    }
}
