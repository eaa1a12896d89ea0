//! Which directories a client may name.
//!
//! An HTTP client must not make the service read wherever it likes: what it names has to lie, links followed, below the directory that
//! the configured bundle stands in. One answer is given for what is elsewhere and for what is not there, so nothing is learnt of the
//! disk by asking.

use std::path::{Path, PathBuf};

/// The directory that a client's path names, or the one below which it must lie. A relative path begins in that directory, or in
/// the working directory as the setting does.
pub fn admitted(given: &str, configured: &Path) -> Result<PathBuf, PathBuf> {
    if Path::new(given) == configured {
        return Ok(configured.to_owned());
    }
    let below = parent(configured);
    let Ok(root) = below.canonicalize() else { return Err(below) };
    let candidates = [below.join(given), PathBuf::from(given)];
    let found = candidates.iter().filter_map(|path| path.canonicalize().ok());
    let mut inside = found.filter(|path| path.starts_with(&root) && *path != root && path.is_dir());
    inside.next().ok_or(below)
}

fn parent(directory: &Path) -> PathBuf {
    match directory.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_directories_beside_the_configured_one_are_admitted() {
        let root = std::env::temp_dir().join(format!("cauce-place-{}", std::process::id()));
        let bundles = root.join("bundles");
        for directory in ["bundles/one", "bundles/two", "bundles-too/three"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(bundles.join("file"), "").unwrap();
        symlink(bundles.join("two"), bundles.join("link")).unwrap();
        symlink(root.join("bundles-too/three"), bundles.join("out")).unwrap();
        let configured = bundles.join("one");
        let name = |path: &str| admitted(path, &configured).ok();
        let two = bundles.join("two").canonicalize().unwrap();
        for admitted in ["two", "./two", "link", two.to_str().unwrap(), "../bundles/two"] {
            assert_eq!(name(admitted).as_ref(), Some(&two), "{admitted}");
        }
        assert_eq!(name(configured.to_str().unwrap()).as_ref(), Some(&configured));
        for refused in ["", ".", "..", "/", "/etc", "three", "../bundles-too/three", "out", "file", "none", "two\0"] {
            assert_eq!(admitted(refused, &configured).unwrap_err(), bundles, "{refused:?}");
        }
        fs::remove_dir_all(root).unwrap();
    }
}
