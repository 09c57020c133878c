//! Whoever takes callbacks, each as a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{SECRET, TOKEN};

#[path = "../python/environment.rs"]
mod environment;

/// The product.
const BINARY: &str = env!("CARGO_BIN_EXE_peak-braze");

/// A process that listens; ends with this.
pub struct Receiver {
    process: Child,
    pub addr: SocketAddr,
}

impl Receiver {
    /// The service by this config. Runs are not what is measured: they wait.
    pub fn service(config: &Path) -> Self {
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(config).args(["serve", "--listen", "127.0.0.1:0"]);
        let service = Self::start(command.stderr(Stdio::null()));
        pause(service.addr);
        service
    }

    /// One of the bare ones: this very file, started anew.
    pub fn bare(program: &str, folder: &Path) -> Self {
        Self::start(
            Command::new(std::env::current_exe().expect("a bench has a path")).arg(program).arg(folder),
        )
    }

    /// What is usually written; none where Python is missing.
    pub fn fast_api(folder: &Path) -> Option<Self> {
        let mut script = environment::script("receive.py")?;
        Some(Self::start(script.arg(folder.join("fastapi.db")).arg(SECRET)))
    }

    /// The first line it prints ends with where it listens.
    fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the receiver starts");
        let mut said = String::new();
        let output = process.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut said).expect("it says where it listens");
        let addr = said.split_whitespace().next_back().expect("an address");
        Self { process, addr: addr.parse().expect("an address") }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.process.kill().expect("it runs until now");
        self.process.wait().expect("it can be waited for");
    }
}

fn pause(service: SocketAddr) {
    let mut connection = TcpStream::connect(service).expect("it listens");
    let request = format!(
        "POST /v1/syncs/predictions/pause HTTP/1.1\r\nhost: b\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).expect("asked");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
