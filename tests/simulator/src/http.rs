//! HTTPS on loopback: one answer per request, and every way in which an answer can fail to come.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future as _, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::ids;
use crate::misbehave::{Fault, Moment, When};
use crate::state::State;
use crate::wire::{self, Handshake, Wire};
use crate::{control, identity};

/// No client has a reason to send more.
const REQUEST_OCTETS_MAX: usize = 256 * 1024;

/// A request, read to its end.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }

    pub(crate) fn queried(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    /// Whole, and the connection with it.
    Close,
    /// After so many octets of the body; half of it if not said.
    Cut(Option<usize>),
    /// No answer, the connection closed.
    Drop,
    /// No answer, the connection reset.
    Reset,
    /// No answer, the connection kept.
    Withhold,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) ending: Ending,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::of(status, "application/json; charset=utf-8", body.to_string().into_bytes())
    }

    pub(crate) fn html(status: u16, body: String) -> Self {
        Self::of(status, "text/html; charset=utf-8", body.into_bytes())
    }

    pub(crate) fn of(status: u16, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { status, content_type, headers: Vec::new(), body, ending: Ending::Whole }
    }
}

/// Serves for ever.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(Wire::new(stream), Arc::clone(&state)));
            }
            // Out of descriptors, mostly: the next connection may find one.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn connection(wire: Wire, state: Arc<State>) {
    let reset = wire.reset_switch();
    let config = match wire::handshake_plan(&state, Moment::IdentityTls).await {
        Handshake::Serve(config) => config,
        Handshake::Garble => return wire.answer_without_tls().await,
        Handshake::Withhold => return wire.outlast_client().await,
        Handshake::Drop => return,
        Handshake::Reset => return reset.arm(),
    };
    let Ok(stream) = TlsAcceptor::from(config).accept(wire).await else { return };
    let service = service_fn(move |request| {
        let (state, reset) = (Arc::clone(&state), reset.clone());
        async move {
            let answer = match read(request).await {
                Ok(asked) => answer(&state, asked).await,
                Err(answer) => answer,
            };
            match answer.ending {
                Ending::Drop => Err(io::Error::other("dropped by rule")),
                Ending::Reset => {
                    reset.arm();
                    Err(io::Error::other("reset by rule"))
                }
                Ending::Withhold => pending().await,
                Ending::Whole | Ending::Close | Ending::Cut(_) => Ok(respond(answer)),
            }
        }
    });
    // Its error is the client's going away or a rule's doing.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn read(request: hyper::Request<Incoming>) -> Result<Asked, Answer> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_OCTETS_MAX)
        .collect()
        .await
        .map_err(|_| Answer::html(413, "<h1>Request too large</h1>".into()))?;
    Ok(Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: named(&parts.headers),
        body: body.to_bytes().to_vec(),
    })
}

fn named(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

async fn answer(state: &Arc<State>, asked: Asked) -> Answer {
    if asked.path.starts_with("/simulator/") {
        return control::answer(state, &asked);
    }
    identity::answer(state, &asked).await
}

fn respond(answer: Answer) -> Response<BoxBody<Bytes, io::Error>> {
    let length = answer.body.len();
    let body: BoxBody<Bytes, io::Error> = match answer.ending {
        Ending::Cut(octets) => {
            let mut head = answer.body;
            head.truncate(octets.unwrap_or(length / 2));
            Torn { head: Some(Bytes::from(head)), pause: None }.boxed()
        }
        _ => Full::new(Bytes::from(answer.body)).map_err(|never: Infallible| match never {}).boxed(),
    };
    let mut response = Response::new(body);
    // Every status is checked where it comes from; this is for the one that was forgotten.
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    if answer.ending == Ending::Close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// A body that breaks off: some octets, time for them to leave, then an error that ends the connection.
struct Torn {
    head: Option<Bytes>,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Body for Torn {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Some(head) = this.head.take() {
            this.pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(20))));
            if !head.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(head))));
            }
        }
        if let Some(pause) = &mut this.pause
            && pause.as_mut().poll(context).is_pending()
        {
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::other("cut by rule"))))
    }
}

/// Waits as the rules for this side of the work say.
pub(crate) async fn delay(faults: &[Fault], side: When) {
    for fault in faults {
        if let Fault::Delay { ms, random, when } = fault
            && *when == side
        {
            let ms = if *random { ids::below(ms.saturating_add(1)) } else { *ms };
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }
}
