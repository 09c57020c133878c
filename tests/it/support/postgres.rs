//! A PostgreSQL cluster of one's own, thrown away at the end: a socket in a temporary folder, nothing on the network.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whom the server runs as where the tests run as root, which it refuses: `nobody`.
const NOBODY: u32 = 65_534;

/// What Redshift has and PostgreSQL does not. Like there, a NULL is serialized as the text `null`.
pub const REDSHIFT_FUNCTIONS: &str = "
    CREATE FUNCTION getdate() RETURNS timestamp LANGUAGE sql AS
        'SELECT date_trunc(''second'', clock_timestamp() AT TIME ZONE ''UTC'')';
    CREATE FUNCTION json_serialize(jsonb) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
        IF octet_length($1::text) > 65535 THEN RAISE EXCEPTION 'longer than a varchar'; END IF;
        RETURN coalesce($1::text, 'null');
    END $$;
    CREATE FUNCTION json_size(jsonb) RETURNS int LANGUAGE sql AS 'SELECT octet_length($1::text)'";

/// A running cluster; stopped and removed when dropped.
pub struct Postgres {
    folder: tempfile::TempDir,
    bin: PathBuf,
    is_root: bool,
    /// Where it listens on loopback, if it does.
    port: Option<u16>,
    /// Further settings of the server.
    settings: &'static str,
}

impl Postgres {
    /// Makes a cluster and waits until it answers.
    pub fn start() -> Self {
        Self::start_at(None, "")
    }

    /// The same with further settings, as `postgres` takes them.
    pub fn start_with(settings: &'static str) -> Self {
        Self::start_at(None, settings)
    }

    /// Another server that repeats what this one does, and takes no writes.
    pub fn standby(&self) -> Self {
        let standby = Self::place(None, self.settings);
        let folder = self.folder.path().display().to_string();
        let from = ["-h", &folder, "-U", "postgres", "-R", "-X", "stream", "-c", "fast"];
        standby.command("pg_basebackup", &from);
        standby.restart();
        standby
    }

    /// Has a standby take writes from now on.
    pub fn promote(&self) {
        self.command("pg_ctl", &["promote", "-w", "-t", "60"]);
    }

    /// The same, and listening on loopback, where a password is asked for.
    pub fn start_with_passwords() -> Self {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
        let port = free.local_addr().expect("a bound listener").port();
        drop(free);
        Self::start_at(Some(port), "")
    }

    fn place(port: Option<u16>, settings: &'static str) -> Self {
        let folder =
            tempfile::Builder::new().prefix("pb").tempdir_in(roomy_place()).expect("a temporary folder");
        let is_root =
            std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
        if is_root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root may give its folder away");
        }
        Self { folder, bin: server_bin(), is_root, port, settings }
    }

    fn start_at(port: Option<u16>, settings: &'static str) -> Self {
        let cluster = Self::place(port, settings);
        cluster.fill();
        if port.is_some() {
            let rules = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
            std::fs::write(cluster.data("data/pg_hba.conf"), rules).expect("the cluster's own file");
        }
        cluster.restart();
        cluster
    }

    /// Making a cluster takes far longer than starting it: one is made, and copied for every test.
    fn fill(&self) {
        let version =
            self.bin.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or("");
        let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("postgres-{version}"));
        std::fs::create_dir_all(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the tests");
        let lock = std::fs::File::create(template.with_extension("lock")).expect("a lock file");
        lock.lock().expect("locked");
        if !template.exists() {
            self.command("initdb", &["-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--no-locale"]);
            // Whole or not at all, whenever the test is ended.
            let unfinished = template.with_extension("new");
            let _ = std::fs::remove_dir_all(&unfinished);
            copy(Path::new(&self.data("data")), &unfinished);
            std::fs::rename(&unfinished, &template).expect("a template");
            return;
        }
        drop(lock);
        copy(&template, Path::new(&self.data("data")));
    }

    /// Where it is, for its superuser.
    pub fn url(&self) -> String {
        self.url_as("postgres")
    }

    /// Where it is, for another user.
    pub fn url_as(&self, user: &str) -> String {
        let port = self.port.unwrap_or(5432);
        format!("postgres:///postgres?host={}&port={port}&user={user}", self.folder.path().display())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(format!(".s.PGSQL.{}", self.port.unwrap_or(5432)))
    }

    /// Where it listens on loopback, if it does.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Stops it as a crash would: nobody is told.
    pub fn stop(&self) {
        self.stop_as("immediate");
    }

    /// Stops it: `fast`, as an operator does, or `immediate`, as a crash would.
    pub fn stop_as(&self, mode: &str) {
        self.command("pg_ctl", &["stop", "-m", mode, "-w", "-t", "60"]);
    }

    /// Starts it again after [`Postgres::stop`].
    pub fn restart(&self) {
        self.command("pg_ctl", &["start", "-w", "-t", "60", "-l", &self.data("log"), "-o", &self.options()]);
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data("log")).expect("pg_ctl makes a log")
    }

    fn options(&self) -> String {
        let socket = self.folder.path().display();
        let listen = match self.port {
            Some(port) => format!("-c listen_addresses=127.0.0.1 -c port={port}"),
            None => "-c listen_addresses=".to_owned(),
        };
        format!(
            "{listen} -c unix_socket_directories={socket} -c fsync=off -c autovacuum=off \
             -c max_prepared_transactions=5 {}",
            self.settings
        )
    }

    fn data(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn command(&self, program: &str, arguments: &[&str]) {
        assert!(self.try_command(program, arguments), "{program} failed");
    }

    fn try_command(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = Command::new(self.bin.join(program));
        command.args(["-D", &self.data("data")]).args(arguments).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if self.is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A test may have stopped it itself.
        self.try_command("pg_ctl", &["stop", "-m", "immediate", "-w", "-t", "60"]);
    }
}

/// Where a cluster's thousand files are made: in memory where there is plenty, which may be ten times as fast as a
/// disk. A container's 64 MiB are not enough.
fn roomy_place() -> PathBuf {
    const PLENTY: u64 = 4 << 30;
    let memory = PathBuf::from("/dev/shm");
    let free = rustix::fs::statvfs(&memory).map_or(0, |room| room.f_bavail * room.f_frsize);
    if free >= PLENTY { memory } else { std::env::temp_dir() }
}

/// A folder with all that is in it, for the same owner.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} was not copied", from.display());
}

/// The newest server's binaries: Debian keeps them out of the path.
fn server_bin() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            path.join("bin/initdb").exists().then(|| (version, path.join("bin")))
        })
        .collect();
    versions.sort();
    let in_path =
        || std::env::split_paths(&std::env::var_os("PATH")?).find(|folder| folder.join("initdb").exists());
    versions
        .pop()
        .map(|(_, bin)| bin)
        .or_else(in_path)
        .unwrap_or_else(|| panic!("the tests need PostgreSQL's server binaries: apt-get install postgresql"))
}
