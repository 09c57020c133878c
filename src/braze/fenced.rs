//! A body that is written only while there is leave to send it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// Asked at the moment of writing.
pub(super) type Permit = Box<dyn Fn() -> bool + Send + Sync>;

/// The body.
pub(super) struct Fenced {
    bytes: Option<Bytes>,
    permit: Permit,
    refused: Refused,
}

/// Whether a body was refused to be written.
#[derive(Clone, Default)]
pub(super) struct Refused(Arc<AtomicBool>);

/// There is no leave any more.
#[derive(Debug, thiserror::Error)]
#[error("the leave to send is gone")]
pub(super) struct NoLeave;

impl Fenced {
    pub(super) fn new(bytes: Bytes, permit: Permit) -> (Self, Refused) {
        let refused = Refused::default();
        (Self { bytes: Some(bytes), permit, refused: refused.clone() }, refused)
    }
}

impl Refused {
    pub(super) fn has_happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Body for Fenced {
    type Data = Bytes;
    type Error = NoLeave;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NoLeave>>> {
        if self.bytes.is_some() && !(self.permit)() {
            self.bytes = None;
            self.refused.0.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err(NoLeave)));
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
