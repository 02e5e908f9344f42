//! A request's body that is read to its end even when nobody wants it: a client that is still sending would otherwise meet a reset
//! connection instead of its answer.

use axum::body::{Body, Bytes, HttpBody};
use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long an unwanted body is read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads what its owner leaves unread, when it is dropped.
pub struct Lingering {
    inner: Option<Body>,
    /// Whether the client may be sending: one that asked first (`Expect: 100-continue`) sends nothing before the body is asked for.
    is_coming: bool,
}

impl Lingering {
    /// `asks_first` says whether the client waits for a go-ahead.
    pub fn new(inner: Body, asks_first: bool) -> Self {
        Self { inner: Some(inner), is_coming: !asks_first }
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_coming = true;
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = Pin::new(inner).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.inner = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(mut inner) = self.inner.take().filter(|inner| self.is_coming && !inner.is_end_stream()) else {
            return;
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(tokio::time::timeout(PATIENCE, async move {
            let mut next = async || std::future::poll_fn(|context| Pin::new(&mut inner).poll_frame(context)).await;
            while let Some(Ok(_)) = next().await {}
        }));
    }
}
