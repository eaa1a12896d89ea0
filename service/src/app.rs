//! The application: what is built from a configuration and runs until it is told to stop. Only this module sees everything.

use std::error::Error;

use crate::config::Config;

/// The service, ready to run.
pub struct App {
    config: Config,
}

impl App {
    /// Loads what the configuration names and binds its port.
    pub fn build(config: Config) -> Result<Self, Box<dyn Error>> {
        Ok(Self { config })
    }

    /// Serves until told to stop.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let _ = self.config;
        Ok(())
    }
}
