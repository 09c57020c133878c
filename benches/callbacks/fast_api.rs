//! The receiver that is usually written, as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

#[path = "../python/environment.rs"]
mod environment;

/// FastAPI on a free port; ends with this.
pub struct FastApi {
    process: Child,
    pub addr: SocketAddr,
}

impl FastApi {
    /// Starts it; none where Python is missing.
    pub fn start(folder: &Path, secret: &str) -> Option<Self> {
        let mut script = environment::script("receive.py")?;
        let mut process = script
            .arg(folder.join("fastapi.db"))
            .arg(secret)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter starts");
        let mut port = String::new();
        let output = process.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut port).expect("it says where it listens");
        let addr = SocketAddr::from(([127, 0, 0, 1], port.trim().parse().expect("a port")));
        Some(Self { process, addr })
    }
}

impl Drop for FastApi {
    fn drop(&mut self) {
        self.process.kill().expect("it runs until now");
        self.process.wait().expect("it can be waited for");
    }
}
