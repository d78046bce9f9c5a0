//! [`Streams`]: how many requests an HTTP/2 connection carries, and how many its peer allows;
//! [`SettingsTap`]: reads the latter from the bytes that the peer sends.
//!
//! hyper queues a request beyond the peer's limit inside the connection, where nothing tells it from a
//! request that the endpoint does not answer. So no connection gets more requests than its peer takes.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The streams of an HTTP/2 connection.
pub(super) struct Streams {
    counts: Mutex<Counts>,
    /// Wakes all that wait for settings of the peer, and for the end.
    changed: Notify,
    /// Wakes a request to the origin that waits for a stream.
    freed: OnceLock<Arc<Notify>>,
}

struct Counts {
    open: usize,
    is_over: bool,
    /// When the peer last answered a request.
    answered_at: Option<Instant>,
    /// As the peer's last settings have it.
    max: Option<usize>,
    /// A lower limit, which the peer showed by refusing streams.
    taken: usize,
}

impl Counts {
    /// How many requests the peer takes at a time. Until its settings come, it gets one.
    fn most(&self) -> usize {
        self.max.unwrap_or(1).min(self.taken)
    }
}

impl Streams {
    pub(super) fn new() -> Arc<Self> {
        let counts =
            Mutex::new(Counts { open: 0, is_over: false, answered_at: None, max: None, taken: usize::MAX });
        Arc::new(Self { counts, changed: Notify::new(), freed: OnceLock::new() })
    }

    /// Waits until the peer has sent its settings, or the connection has ended.
    pub(super) async fn known(&self) {
        self.until(|counts| counts.max.is_some()).await;
    }

    /// Waits until the peer takes requests, or the connection has ended.
    pub(super) async fn taking(&self) {
        self.until(|counts| counts.most() > 0).await;
    }

    async fn until(&self, is_met: impl Fn(&Counts) -> bool) {
        loop {
            // Made before the counts are looked at, so that no change of them goes unnoticed.
            let changed = self.changed.notified();
            {
                let counts = self.counts();
                if counts.is_over || is_met(&counts) {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Whether the peer takes requests, however many it has.
    pub(super) fn takes_some(&self) -> bool {
        self.counts().most() > 0
    }

    /// Takes note that the connection has ended.
    fn end(&self) {
        self.counts().is_over = true;
        self.changed.notify_waiters();
        // None of those that wait for a stream gets one of this connection.
        self.freed.get().into_iter().for_each(|freed| freed.notify_waiters());
    }

    /// Opens a stream, unless the peer takes no more at a time.
    pub(super) fn open(self: &Arc<Self>) -> Option<Stream> {
        let mut counts = self.counts();
        if counts.open >= counts.most() {
            return None;
        }
        counts.open += 1;
        Some(Stream(Arc::clone(self)))
    }

    /// Opens a stream for the request that the connection was opened for, whatever the peer says.
    pub(super) fn open_one(self: &Arc<Self>) -> Stream {
        self.counts().open += 1;
        Stream(Arc::clone(self))
    }

    /// Takes note that the peer has answered a request.
    pub(super) fn answered(&self) {
        self.counts().answered_at = Some(Instant::now());
    }

    /// Whether the peer has answered a request since an instant.
    pub(super) fn has_answered_since(&self, since: Instant) -> bool {
        self.counts().answered_at.is_some_and(|answered_at| answered_at >= since)
    }

    /// Whether other requests have streams beside the one that asks.
    pub(super) fn has_others(&self) -> bool {
        self.counts().open > 1
    }

    /// Takes note that the peer refused a stream although its settings allow it.
    pub(super) fn refused(&self) {
        let mut counts = self.counts();
        counts.taken = counts.taken.min(counts.open.saturating_sub(1).max(1));
    }

    /// Sets whom to wake when a stream ends.
    pub(super) fn wakes(&self, freed: &Arc<Notify>) {
        let _ = self.freed.set(Arc::clone(freed));
    }

    fn allows(&self, max: Option<usize>, is_first: bool) {
        let mut counts = self.counts();
        match (max, is_first) {
            (Some(max), _) => counts.max = Some(max),
            // Without the setting, there is no limit (RFC 9113 section 6.5.2).
            (None, true) => counts.max = Some(usize::MAX),
            (None, false) => {}
        }
        drop(counts);
        self.changed.notify_waiters();
        // There may be a stream for each of them.
        self.freed.get().into_iter().for_each(|freed| freed.notify_waiters());
    }

    #[cfg(test)]
    pub(super) fn opened(&self) -> usize {
        self.counts().open
    }

    fn wake(&self) {
        self.freed.get().into_iter().for_each(|freed| freed.notify_one());
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that a request has, until it is dropped.
pub(super) struct Stream(Arc<Streams>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.counts().open -= 1;
        self.0.wake();
    }
}

/// Ends the streams when it is dropped with the task that drives their connection.
pub(super) struct EndOfStreams(pub(super) Arc<Streams>);

impl Drop for EndOfStreams {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Passes bytes on, and reads the frames of type SETTINGS among those that come in (RFC 9113 section 6.5).
pub(super) struct SettingsTap<S> {
    stream: S,
    streams: Arc<Streams>,
    parser: Parser,
}

impl<S> SettingsTap<S> {
    pub(super) fn new(stream: S, streams: Arc<Streams>) -> Self {
        Self { stream, streams, parser: Parser::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SettingsTap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.parser.read(&buffer.filled()[before..], |max, is_first| this.streams.allows(max, is_first));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SettingsTap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Finds the settings in a peer's frames. h2 judges whether they are well formed, so it only has to find the
/// same frames where they are.
#[derive(Default)]
struct Parser {
    /// The head of the frame, or the setting, that is being read.
    part: [u8; HEAD],
    len: usize,
    /// The bytes of the frame's payload that are still to come.
    left: usize,
    is_settings: bool,
    max: Option<usize>,
    is_later: bool,
}

impl Parser {
    /// Calls `found` after each frame of settings, with the number of streams that it allows if it names one,
    /// and whether it is the first.
    fn read(&mut self, mut bytes: &[u8], mut found: impl FnMut(Option<usize>, bool)) {
        while !bytes.is_empty() {
            if self.left > 0 && !self.is_settings {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let want = if self.left > 0 { SETTING.min(self.len + self.left) } else { HEAD };
            let taken = (want - self.len).min(bytes.len());
            self.part[self.len..self.len + taken].copy_from_slice(&bytes[..taken]);
            self.len += taken;
            bytes = &bytes[taken..];
            let is_payload = self.left > 0;
            if is_payload {
                self.left -= taken;
            }
            if self.len < want {
                continue;
            }
            self.len = 0;
            let part = self.part;
            if is_payload {
                let [a, b, c, d, e, f, ..] = part;
                if want == SETTING && u16::from_be_bytes([a, b]) == MAX_CONCURRENT_STREAMS {
                    self.max = usize::try_from(u32::from_be_bytes([c, d, e, f])).ok();
                }
            } else {
                let [a, b, c, kind, flags, ..] = part;
                self.left = u32::from_be_bytes([0, a, b, c]) as usize;
                self.is_settings = kind == SETTINGS && flags & ACK == 0;
                self.max = None;
            }
            if self.left == 0 && self.is_settings {
                self.is_settings = false;
                found(self.max.take(), !std::mem::replace(&mut self.is_later, true));
            }
        }
    }
}

// RFC 9113 sections 4.1, 6.5, 6.5.1 and 6.5.2.
const HEAD: usize = 9;
const SETTING: usize = 6;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_streams_is_read_from_frames_in_pieces_of_any_size() {
        let mut bytes = vec![0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
        bytes.extend([0, 0, 5, 0, 0, 0, 0, 0, 1, 0, 4, 0, 0, 9]);
        bytes.extend([0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0]);
        let settings = [0, 0, 12, SETTINGS, 0, 0, 0, 0, 0, 0, 4, 0, 0, 255, 255, 0, 3, 0, 0, 0, 10];
        bytes.extend(settings);
        bytes.extend([0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0]);
        for size in 1..=bytes.len() {
            let (mut parser, mut found) = (Parser::default(), Vec::new());
            bytes.chunks(size).for_each(|piece| parser.read(piece, |max, first| found.push((max, first))));
            assert_eq!(found, [(None, true), (Some(10), false), (None, false)], "pieces of {size}");
        }
    }

    #[test]
    fn bytes_that_are_no_frames_are_no_panic() {
        for seed in 0..=255_u8 {
            let mut parser = Parser::default();
            let bytes: Vec<u8> = (0..999_u32).map(|n| seed.wrapping_mul(31).wrapping_add(n as u8)).collect();
            bytes.chunks(7).for_each(|piece| parser.read(piece, |_, _| {}));
        }
    }

    #[test]
    fn a_peer_gets_as_many_streams_as_it_takes_and_fewer_once_it_refuses_some() {
        let streams = Streams::new();
        let first = streams.open_one();
        assert!(streams.open().is_none(), "its settings are not known");
        streams.allows(Some(3), true);
        let more = [streams.open(), streams.open()];
        assert!(more.iter().all(Option::is_some) && streams.open().is_none());
        streams.refused();
        drop(first);
        assert!(streams.open().is_none(), "it took two");
        drop(more);
        assert!(streams.open().is_some());
        streams.allows(None, false);
        streams.allows(Some(0), false);
        assert!(streams.open().is_none());
    }

    #[tokio::test]
    async fn all_who_wait_for_a_peer_that_takes_nothing_go_on_when_it_does_and_when_it_is_gone() {
        for is_over in [false, true] {
            let streams = Streams::new();
            streams.allows(Some(0), true);
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let streams = Arc::clone(&streams);
                    tokio::spawn(async move { streams.taking().await })
                })
                .collect();
            tokio::task::yield_now().await;
            assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
            if is_over {
                streams.end()
            } else {
                streams.allows(Some(3), false)
            }
            for waiting in waiting {
                waiting.await.unwrap();
            }
        }
    }
}
