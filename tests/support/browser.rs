//! A real browser without a window, told what to do over its DevTools protocol: Debian's Chromium, killed when dropped.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use super::Directory;

/// How long anything on a page may take, on a machine where many tests run.
const PATIENCE: Duration = Duration::from_secs(90);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// A browser with one page.
pub(crate) struct Browser {
    _process: Process,
    socket: WebSocket<TcpStream>,
    /// The page among all that DevTools can be asked about.
    page: Option<Value>,
    /// Numbers the commands.
    last: u64,
    /// What it told unasked.
    events: Vec<Value>,
    /// Where it keeps its data; it goes with it.
    _profile: Directory,
}

impl Browser {
    /// Starts it, with an empty page that speaks this language.
    pub(crate) fn start(language: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let profile = Directory::new(&format!("browser-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        // Tests run as root in containers, where there is no sandbox, and /dev/shm is small there.
        let mut process = Process::start(language, &profile);
        let address = process.address(&profile);
        let authority = address.split('/').nth(2).expect("it has an authority");
        let stream = TcpStream::connect(authority).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(&address, stream).expect("DevTools speak WebSocket");
        let mut browser =
            Self { _process: process, socket, page: None, last: 0, events: Vec::new(), _profile: profile };
        let target = browser.command("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.command("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.page = Some(attached["sessionId"].clone());
        for domain in ["Runtime", "Log", "Page", "Network"] {
            browser.command(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Goes to an address, and is there once the page is read.
    #[track_caller]
    pub(crate) fn open(&mut self, address: &str) {
        let went = self.command("Page.navigate", json!({ "url": address }));
        assert!(went.get("errorText").is_none(), "{address}: {went}");
        self.until("document.readyState === 'complete'", || {});
    }

    /// What an expression of JavaScript comes to, once it is settled.
    #[track_caller]
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.command("Runtime.evaluate", asked);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true of the page; while it is not, does the work.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str, mut work: impl FnMut()) {
        let begin = Instant::now();
        // Between two pages there is no document to ask.
        while self.evaluate(&format!("Boolean(document.body && ({expression}))")) != true {
            let text = "document.body?.innerText";
            assert!(begin.elapsed() < PATIENCE, "not so within {PATIENCE:?}: {expression}\n{}", self.evaluate(text));
            work();
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// The text of the first element that a selector finds.
    #[track_caller]
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let text = self.evaluate(&format!("document.querySelector({selector:?})?.innerText"));
        text.as_str().unwrap_or_else(|| panic!("there is no `{selector}`")).to_owned()
    }

    /// Clicks it.
    #[track_caller]
    pub(crate) fn click(&mut self, selector: &str) {
        self.evaluate(&format!("document.querySelector({selector:?}).click()"));
    }

    /// Types a key into what has the focus.
    pub(crate) fn press(&mut self, key: &str, code: u32, text: &str) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.command("Input.dispatchKeyEvent", event);
        }
    }

    /// Gives the page this size.
    pub(crate) fn resize(&mut self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.command("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Has the page believe that its reader wants it `light` or `dark`.
    pub(crate) fn prefer(&mut self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.command("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Loads nothing from addresses like these.
    pub(crate) fn block(&mut self, addresses: &[&str]) {
        self.command("Network.setBlockedURLs", json!({ "urls": addresses }));
    }

    /// Keeps a picture of the whole page at `target/screenshots/NAME.png`.
    pub(crate) fn picture(&mut self, name: &str) -> PathBuf {
        let options = json!({ "format": "png", "captureBeyondViewport": true });
        let taken = self.command("Page.captureScreenshot", options);
        let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
        let path = target.join("screenshots").join(format!("{name}.png"));
        fs::create_dir_all(path.parent().expect("it was joined")).unwrap();
        fs::write(&path, from_base64(taken["data"].as_str().unwrap())).unwrap();
        path
    }

    /// Every address that was asked for, WebSockets included.
    pub(crate) fn requested(&mut self) -> Vec<String> {
        self.evaluate("0");
        let address = |event: &Value| match event["method"].as_str() {
            Some("Network.requestWillBeSent") => event["params"]["request"]["url"].as_str().map(str::to_owned),
            Some("Network.webSocketCreated") => event["params"]["url"].as_str().map(str::to_owned),
            _ => None,
        };
        self.events.iter().filter_map(address).collect()
    }

    /// What was logged as an error, or thrown and not caught.
    pub(crate) fn errors(&mut self) -> Vec<Value> {
        self.evaluate("0");
        let is_error = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => event["params"]["type"] == "error",
            Some("Log.entryAdded") => event["params"]["entry"]["level"] == "error",
            _ => false,
        };
        self.events.iter().filter(is_error).cloned().collect()
    }

    /// Texts whose contrast is below what WCAG 2 asks for at AA.
    pub(crate) fn faint(&mut self) -> Value {
        self.evaluate(FAINT)
    }

    /// Controls and pictures that a screen reader has no name for.
    pub(crate) fn unnamed(&mut self) -> Value {
        self.evaluate(UNNAMED)
    }

    /// Gives a command and waits for its result; what is told meanwhile is kept.
    #[track_caller]
    fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(page) = &self.page {
            command["sessionId"] = page.clone();
        }
        self.socket.send(Message::text(command.to_string())).unwrap();
        loop {
            let message = self.socket.read().unwrap_or_else(|error| panic!("{method}: {error}"));
            let Message::Text(text) = message else { continue };
            let said: Value = serde_json::from_str(&text).unwrap();
            if said["id"] == self.last {
                assert!(said.get("error").is_none(), "{method}: {said}");
                return said["result"].clone();
            }
            self.events.push(said);
        }
    }
}

/// The contrast that WCAG 2 asks for at AA: 4.5 to 1, and 3 to 1 where texts are large.
const FAINT: &str = r#"
(() => {
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const says = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim() !== "");
    if (!says || !element.checkVisibility() || element.closest("noscript, .skip, option")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(numbers(style.color)), light(behind(element))].sort((a, b) => b - a);
    const contrast = (one + 0.05) / (other + 0.05);
    if (contrast < (parseFloat(style.fontSize) >= 24 ? 3 : 4.5)) faint.push(`${element.textContent.trim()}: ${contrast.toFixed(2)}`);
  }
  return faint;
})()
"#;

const UNNAMED: &str = r#"
[...document.querySelectorAll("button, a, input, select, [role=img], [role=region], section")]
  .filter((element) => element.checkVisibility())
  .filter((element) => !(element.ariaLabel || element.labels?.length || element.textContent.trim() && element.matches("button, a")
    || document.getElementById(element.getAttribute("aria-labelledby"))?.textContent.trim()))
  .map((element) => element.outerHTML.slice(0, 200))
"#;

/// The process, which ends with this, however far the browser has come.
struct Process(Child);

impl Process {
    fn start(language: &str, profile: &Directory) -> Self {
        let process = Command::new("chromium")
            // Tests run as root in containers, where there is no sandbox, and /dev/shm is small there.
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-breakpad"])
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.root().display()))
            .args([&format!("--lang={language}"), "about:blank"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(process.expect("`chromium` is installed: `scripts/packages test` does it"))
    }

    /// Where its DevTools are: it writes port and path into its profile once they are there.
    fn address(&mut self, profile: &Directory) -> String {
        let begin = Instant::now();
        loop {
            let said = fs::read_to_string(profile.path("DevToolsActivePort")).unwrap_or_default();
            if let Some((port, path)) = said.split_once('\n').filter(|(_, path)| !path.is_empty()) {
                return format!("ws://127.0.0.1:{port}{path}");
            }
            let is_starting = self.0.try_wait().unwrap().is_none() && begin.elapsed() < PATIENCE;
            assert!(is_starting, "`chromium` does not start");
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The bytes of a text in base64 (RFC 4648).
fn from_base64(text: &str) -> Vec<u8> {
    let value = |digit: u8| match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|digit| *digit != b'=').map(value).collect();
    let bytes = digits.chunks(4).flat_map(|chunk| {
        let bits = chunk.iter().fold(0u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - chunk.len()));
        bits.to_be_bytes().into_iter().skip(1).take(chunk.len() - 1)
    });
    bytes.collect()
}

#[test]
fn base64_is_read_back() {
    for (text, bytes) in [("", &b""[..]), ("TQ==", b"M"), ("TWE=", b"Ma"), ("TWFu", b"Man"), ("/+8A", b"\xff\xef\0")] {
        assert_eq!(from_base64(text), bytes, "{text}");
    }
}
