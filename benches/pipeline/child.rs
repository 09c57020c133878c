//! A process and what it cost: wall time, CPU time, peak memory, as Linux tells them.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a process cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub wall: Duration,
    /// User and system time together.
    pub cpu: Duration,
    pub peak_kib: u64,
}

/// Clock ticks a second in `/proc/PID/stat`. Source: proc(5); 100 on every Linux in use.
const TICKS: u64 = 100;
/// How often a process is looked at; its own high-water mark is kept by the kernel.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Runs a command to its end. What it prints goes where the command says: nobody reads a pipe here.
#[expect(clippy::disallowed_methods, reason = "nothing signals how much memory another process has")]
pub fn run(command: &mut Command) -> Cost {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut peak_kib = 0;
    // A zombie keeps its times until it is waited for, but no memory.
    while !is_zombie(&child) {
        peak_kib = peak(&child).unwrap_or(peak_kib);
        std::thread::sleep(LOOK_EVERY);
    }
    let (wall, cpu) = (began.elapsed(), cpu(&child));
    let status = child.wait().expect("it can be waited for");
    assert!(status.success(), "{command:?}: {status}");
    Cost { wall, cpu, peak_kib }
}

/// Fields of `/proc/PID/stat` after the name in brackets, which may hold blanks.
fn stat(child: &Child) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("not yet waited for");
    let rest = text.rsplit(')').next().expect("a name in brackets");
    rest.split_whitespace().map(str::to_owned).collect()
}

fn is_zombie(child: &Child) -> bool {
    stat(child)[0] == "Z"
}

fn cpu(child: &Child) -> Duration {
    let stat = stat(child);
    let ticks: u64 = stat[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 1_000 / TICKS)
}

fn peak(child: &Child) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
