//! An OpenTelemetry collector on loopback: takes OTLP over https, and keeps the spans.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// The longest any story waits for a span.
const PATIENCE: Duration = Duration::from_secs(60);

/// One export, as it came.
#[derive(Clone, Debug)]
pub struct Export {
    pub path: String,
    pub authorization: String,
    pub body: Vec<u8>,
}

/// A span, with the process it is from.
#[derive(Clone, Debug)]
pub struct Told {
    pub instance: String,
    pub span: Span,
}

impl Told {
    /// An attribute, as text.
    pub fn attribute(&self, key: &str) -> String {
        text(&self.span.attributes, key)
    }
}

pub struct Collector {
    addr: SocketAddr,
    exports: watch::Receiver<Vec<Export>>,
}

impl Collector {
    /// Its certificate is written to `trusted`, for whoever is to trust it.
    pub async fn start(trusted: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        std::fs::write(trusted, made.cert.pem()).expect("a file");
        let key =
            rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let (told, exports) = watch::channel(Vec::new());
        tokio::spawn(take_all(listener, TlsAcceptor::from(Arc::new(tls)), Arc::new(told)));
        Self { addr, exports }
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.addr.port())
    }

    pub fn exports(&self) -> Vec<Export> {
        self.exports.borrow().clone()
    }

    pub fn spans(&self) -> Vec<Told> {
        spans(&self.exports())
    }

    /// Waits until the spans are as `are` wants them.
    pub async fn when(&self, are: impl Fn(&[Told]) -> bool) -> Vec<Told> {
        let mut exports = self.exports.clone();
        let waiting = exports.wait_for(|exports| are(&spans(exports)));
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(done) => spans(&done.expect("the collector is up")),
            Err(_) => panic!("{:#?}", self.spans()),
        }
    }
}

async fn take_all(listener: TcpListener, tls: TlsAcceptor, told: Arc<watch::Sender<Vec<Export>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, told) = (tls.clone(), told.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request| take(request, told.clone()));
            // Whoever hangs up concerns only itself.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn take(
    request: hyper::Request<hyper::body::Incoming>,
    told: Arc<watch::Sender<Vec<Export>>>,
) -> Result<hyper::Response<String>, std::convert::Infallible> {
    use http_body_util::BodyExt;
    let (head, body) = request.into_parts();
    let authorization = head.headers.get("authorization").map_or("", |value| value.to_str().expect("ASCII"));
    let export = Export {
        path: head.uri.path().to_owned(),
        authorization: authorization.to_owned(),
        body: body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default(),
    };
    told.send_modify(|exports| exports.push(export));
    Ok(hyper::Response::new(String::new()))
}

fn spans(exports: &[Export]) -> Vec<Told> {
    let requests = exports
        .iter()
        .map(|export| ExportTraceServiceRequest::decode(&*export.body).expect("OTLP as protobuf"));
    let resources = requests.flat_map(|request| request.resource_spans);
    let told = resources.flat_map(|of| {
        let attributes = of.resource.map(|resource| resource.attributes).unwrap_or_default();
        assert_eq!(text(&attributes, "service.name"), "peak-braze");
        let instance = text(&attributes, "service.instance.id");
        let spans = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(move |span| Told { instance: instance.clone(), span })
    });
    told.collect()
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == key);
    match value.and_then(|attribute| attribute.value.as_ref()).and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}
