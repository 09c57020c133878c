//! A reader that can be stopped, and that bounds how much one record takes.

use std::cell::Cell;
use std::io::{Error, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most bytes of one record. Over it a quotation mark was never closed, and the rest of the file would be one value.
const RECORD_BYTES: u64 = 16 * 1024 * 1024;

/// Why a tap gives no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    Unwanted,
    RecordTooLong,
}

/// Bytes that came through since the last record, and why no more come.
#[derive(Clone, Default)]
pub(super) struct Gauge(Rc<Inner>);

#[derive(Default)]
struct Inner {
    bytes: Cell<u64>,
    last_byte: Cell<u8>,
    stopped: Cell<Option<Stopped>>,
}

impl Gauge {
    /// A record was taken: the next may be as long again.
    pub(super) fn record(&self) {
        self.0.bytes.set(0);
    }

    pub(super) fn stopped(&self) -> Option<Stopped> {
        self.0.stopped.get()
    }

    /// Whether what came so far ends with a line.
    pub(super) fn ends_a_line(&self) -> bool {
        matches!(self.0.last_byte.get(), b'\n' | b'\r')
    }
}

pub(super) struct Tap<R> {
    inner: R,
    gauge: Gauge,
    is_unwanted: Arc<AtomicBool>,
}

impl<R> Tap<R> {
    pub(super) fn new(inner: R, is_unwanted: Arc<AtomicBool>) -> (Self, Gauge) {
        let gauge = Gauge::default();
        (Self { inner, gauge: gauge.clone(), is_unwanted }, gauge)
    }

    fn stop(&self, why: Stopped) -> std::io::Result<usize> {
        self.gauge.0.stopped.set(Some(why));
        Err(Error::other("stopped"))
    }
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.is_unwanted.load(Ordering::Relaxed) {
            return self.stop(Stopped::Unwanted);
        }
        if self.gauge.0.bytes.get() > RECORD_BYTES {
            return self.stop(Stopped::RecordTooLong);
        }
        let read = self.inner.read(buffer)?;
        let gauge = &self.gauge.0;
        gauge.bytes.set(gauge.bytes.get() + read as u64);
        if let Some(last) = buffer[..read].last() {
            gauge.last_byte.set(*last);
        }
        Ok(read)
    }
}
