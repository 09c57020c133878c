//! `peak-braze sign`: the headers of a callback, for trying one by hand.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, ensure};
use chrono::DateTime;
use uuid::Uuid;

use super::print::{print, print_json};
use crate::callback::sign;
use crate::clock::Clock;
use crate::config::SecretRef;

/// No server takes a greater body than the config's upper bound.
const MAX_BODY_BYTES: u64 = 10 << 20;

/// Prints the signed headers of the callback on standard input as curl arguments.
///
/// For example `curl --data-binary @body.json $(peak-braze sign --secret-env SECRET < body.json) URL`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Environment variable that holds the secret (`whsec_…`, base64, `raw:…`, or a private key `whsk_…`).
    #[arg(long, value_name = "NAME")]
    secret_env: String,
    /// Delivery id; a new one by default.
    #[arg(long)]
    id: Option<String>,
    /// Unix seconds; now by default.
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(i64).range(0..))]
    timestamp: Option<i64>,
    /// Print the headers as JSON.
    #[arg(long)]
    json: bool,
}

/// Signs the body on standard input.
///
/// # Errors
/// When the secret is missing or cannot sign, or the id or time cannot be signed.
pub fn run(args: Args) -> anyhow::Result<()> {
    let body = body_from_stdin()?;
    let headers = signed(&args, &SecretRef::Env(args.secret_env.clone()), &body)?;
    match args.json {
        true => print_json(&BTreeMap::from(headers)),
        false => print(&(curl_arguments(headers) + "\n")),
    }
}

fn signed(args: &Args, secret: &SecretRef, body: &[u8]) -> anyhow::Result<[(&'static str, String); 3]> {
    let signed_at = match args.timestamp {
        Some(secs) => DateTime::from_timestamp(secs, 0).context("--timestamp: is no time")?,
        None => Clock::system().now(),
    };
    let id = args.id.clone().unwrap_or_else(|| format!("msg_{}", Uuid::new_v4().simple()));
    Ok(sign(&secret.resolve()?, &id, signed_at, body)?)
}

/// No space, so that the words survive the shell without quotes.
fn curl_arguments(headers: [(&str, String); 3]) -> String {
    headers.map(|(name, value)| format!("-H {}", quoted(&format!("{name}:{value}")))).join(" ")
}

/// `word` in quotes where a shell would read more into it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:,+/=".contains(&byte);
    if word.bytes().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The body of a callback.
pub(super) fn body_from_stdin() -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    std::io::stdin().lock().take(MAX_BODY_BYTES + 1).read_to_end(&mut body).context("standard input")?;
    ensure!(
        body.len() as u64 <= MAX_BODY_BYTES,
        "standard input: over {MAX_BODY_BYTES} bytes, no callback is"
    );
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str) -> anyhow::Result<String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").expect("a written secret");
        let args = Args {
            secret_env: String::new(),
            id: Some(id.to_owned()),
            timestamp: Some(1_614_265_330),
            json: false,
        };
        signed(&args, &SecretRef::File(file.path().into()), b"{\"test\": 2432232314}").map(curl_arguments)
    }

    #[test]
    fn headers_come_as_curl_arguments_on_one_line() {
        let expected = "-H webhook-id:msg_p5jXN8AQM9LWM0D4loKWxJek -H webhook-timestamp:1614265330 \
                        -H webhook-signature:v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(line("msg_p5jXN8AQM9LWM0D4loKWxJek").expect("the known vector"), expected);
    }

    #[test]
    fn what_a_shell_would_read_is_quoted_or_refused() {
        assert!(line("a'$b").expect("printable").starts_with(r"-H 'webhook-id:a'\''$b' -H"));
        assert!(line("a.b").is_err());
        assert!(line("a b").is_err());
    }

    #[test]
    fn arguments_read_as_documented() {
        use clap::Args as _;
        let command = super::Args::augment_args(clap::Command::new("sign"));
        command.clone().debug_assert();
        let read = |words: &str| command.clone().try_get_matches_from(words.split(' '));
        assert!(read("sign --secret-env A --id x --timestamp 7").is_ok());
        assert!(read("sign --secret-env A --timestamp=-1").is_err());
        assert!(read("sign").is_err());
    }
}
