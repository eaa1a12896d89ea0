//! Files that are written whole or not at all.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

/// Writes a file that takes its name only once it is complete and on disk.
pub(super) fn write_whole(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let partial = path.with_added_extension("partial");
    let written = write_file(&partial, write).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // What is left of it has no name of its own; that it could not be written is the error to tell.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn write_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write(&mut file)?;
    file.into_inner().map_err(|error| error.into_error())?.sync_all()
}
