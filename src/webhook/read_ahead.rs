//! `ReadAhead`: a stream that is read as far as there is something to read, however little is asked for.
//!
//! rustls asks for 4 KiB at a time. With this below it, nearly every review is one call of the system and not two. What was
//! not asked for is kept for the next time; a connection that is idle keeps nothing.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most that is read at a time.
const AT_A_TIME: usize = 32 << 10;

thread_local! {
    /// Where it is read to: one for all connections of a thread, so that it stays in the processor's cache.
    static ARRIVING: RefCell<Vec<u8>> = RefCell::new(vec![0; AT_A_TIME]);
}

pub(super) struct ReadAhead<S> {
    stream: S,
    ahead: Bytes,
}

impl<S> ReadAhead<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Bytes::new(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        wanted: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, ahead } = self.get_mut();
        if !ahead.is_empty() {
            let number = ahead.len().min(wanted.remaining());
            wanted.put_slice(&ahead.split_to(number));
            return Poll::Ready(Ok(()));
        }
        ARRIVING.with_borrow_mut(|arriving| {
            let mut arriving = ReadBuf::new(arriving);
            ready!(Pin::new(stream).poll_read(cx, &mut arriving))?;
            let arrived = arriving.filled();
            let (now, later) = arrived.split_at(arrived.len().min(wanted.remaining()));
            wanted.put_slice(now);
            *ahead = Bytes::copy_from_slice(later);
            Poll::Ready(Ok(()))
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Counts how often it is read.
    struct Counted<S>(S, usize);

    impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.1 += 1;
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    #[tokio::test]
    async fn what_has_arrived_is_read_once_and_given_in_its_order() {
        let sent: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
        let (mut client, server) = tokio::io::duplex(AT_A_TIME);
        client.write_all(&sent).await.unwrap();
        drop(client);
        let mut stream = ReadAhead::new(Counted(server, 0));
        let mut received = Vec::new();
        let mut some = [0; 4096];
        for wanted in [4096, 1, 4096, 4096] {
            let number = stream.read(&mut some[..wanted]).await.unwrap();
            received.extend_from_slice(&some[..number]);
        }
        assert!(received == sent);
        assert_eq!(stream.stream.1, 1);
        assert_eq!(stream.read(&mut some).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn more_than_is_read_at_a_time_comes_whole() {
        let sent: Vec<u8> = (0..3 * AT_A_TIME + 17).map(|at| (at % 253) as u8).collect();
        let (mut client, server) = tokio::io::duplex(2 * AT_A_TIME);
        let mut stream = ReadAhead::new(server);
        let mut received = Vec::new();
        let send = async {
            client.write_all(&sent).await.unwrap();
            drop(client);
        };
        let (_, read) = tokio::join!(send, stream.read_to_end(&mut received));
        read.unwrap();
        assert!(received == sent);
    }
}
