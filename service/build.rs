//! Embeds the dashboard: every file of `src/dashboard/`, and uPlot where `make charts` has put it, as it is and compressed, with an
//! ETag of its content. Compressing here costs a request nothing, and the page needs no build step of its own.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// The page says here where the chart library comes in.
const CHARTS: &str = "<!-- charts -->";
const LOAD_CHARTS: &str =
    r#"<link rel="stylesheet" href="dashboard/uplot.css"><script src="dashboard/uplot.js" defer></script>"#;

/// What the library's files are served as.
const UPLOT: [(&str, &str); 2] = [("uPlot.iife.min.js", "uplot.js"), ("uPlot.min.css", "uplot.css")];

/// A file's name and content.
type File = (String, Vec<u8>);

fn main() -> Result<(), Box<dyn Error>> {
    let (source, target) = (PathBuf::from("src/dashboard"), PathBuf::from(env::var("OUT_DIR")?));
    let uplot = Path::new("../.runtime/uplot");
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-changed={}", uplot.display());
    // What is not there counts as changed: every build would begin here. Where it cannot be made, it is so.
    let _ = fs::create_dir_all(uplot);

    let charts = charts(uplot)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(source)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a name is text")?.to_owned();
        files.push((name, fs::read(path)?));
    }
    let page = files.iter_mut().find(|(name, _)| name == "index.html").ok_or("there is an `index.html`")?;
    page.1 = String::from_utf8(std::mem::take(&mut page.1))?
        .replace(CHARTS, if charts.is_empty() { "" } else { LOAD_CHARTS })
        .into();
    files.extend(charts);
    files.sort();

    let mut table = format!("const ASSETS: [Asset; {}] = [\n", files.len());
    for (name, content) in &files {
        table += &asset(name, content, &target)?;
    }
    table += "];\n";
    fs::write(target.join("dashboard.rs"), table)?;
    Ok(())
}

/// The chart library's files, each under its licence; none where it was not fetched.
fn charts(uplot: &Path) -> Result<Vec<File>, Box<dyn Error>> {
    let Ok(licence) = fs::read_to_string(uplot.join("LICENSE")) else { return Ok(Vec::new()) };
    let under_licence = |(file, name): (&str, &str)| {
        let content = fs::read_to_string(uplot.join(file))?;
        Ok((name.to_owned(), format!("/*!\n{licence}*/\n{content}").into_bytes()))
    };
    UPLOT.into_iter().map(under_licence).collect()
}

/// Writes a file in both forms; its row of the table.
fn asset(name: &str, content: &[u8], target: &Path) -> Result<String, Box<dyn Error>> {
    let content_type = match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => return Err(format!("`{name}` has no content type here").into()),
    };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    let (plain, gzip) = (target.join(name), target.join(format!("{name}.gz")));
    fs::write(&plain, content)?;
    fs::write(&gzip, encoder.finish()?)?;
    let mut hash = String::new();
    for byte in &Sha256::digest(content)[..8] {
        write!(hash, "{byte:02x}")?;
    }
    // Weak: both forms have it.
    let etag = format!(r#"W/"{hash}""#);
    Ok(format!(
        "    Asset {{ name: {name:?}, content_type: {content_type:?}, etag: {etag:?}, plain: include_bytes!({plain:?}), gzip: include_bytes!({gzip:?}) }},\n"
    ))
}
