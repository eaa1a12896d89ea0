//! What leaves for others over HTTP: one client and one idea of an address, for webhooks and for traces.

use std::time::Duration;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::typestate::AgentScope;

/// A client, to be completed. `timeout` is for all of a request: the name's resolution, the connection, the answer. Certificates are
/// verified against those that the system trusts; what is sent goes where it was told to go, or nowhere.
pub fn client(timeout: Duration) -> ConfigBuilder<AgentScope> {
    let tls = TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier).build();
    Agent::config_builder().tls_config(tls).timeout_global(Some(timeout)).max_redirects(0)
}

/// An address to which something can be posted.
pub fn address(text: &str) -> Option<Uri> {
    let address = text.parse::<Uri>().ok()?;
    (matches!(address.scheme_str(), Some("http" | "https")) && address.host().is_some()).then_some(address)
}
