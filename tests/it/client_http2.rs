//! HTTP/2 servers with few streams, servers that refuse streams, and servers that go away.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use hookwire::transport::OwnFault;
use hookwire::transport::hyper::SystemResolver;
use hookwire::{FailureReason, HttpClient, HyperClient, ReqwestClient};
use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

use crate::attempt_log::Sent;
use crate::client_peers::*;
use crate::client_rules::{Tested, with_each_client};
use crate::endpoint::loopback;

with_each_client! {
    streams_that_a_server_refuses_are_sent_again_and_cost_no_attempt
    a_server_that_refuses_every_stream_costs_one_attempt_of_few_requests
    a_request_above_the_last_stream_of_a_server_that_goes_away_is_sent_again
    a_request_that_a_server_may_have_processed_before_it_went_away_is_not_sent_again
    a_server_that_goes_away_late_still_answers
    a_stream_that_is_refused_after_its_status_is_not_sent_again
}

/// A server of ten streams holds ten requests for ever. Those behind them are answered all the same.
#[tokio::test]
async fn requests_beyond_the_streams_of_a_server_are_answered_over_more_connections() {
    let identity = Identity::of(&["127.0.0.1"]);
    let (server, most) = with_streams(&identity, 10).await;
    let client = HyperClient::trusting(&identity.root, SystemResolver::new());
    let (url, limits) = (server.https("127.0.0.1"), lax());
    client.send(post(&url), &limits).await.unwrap();
    let short = within(Duration::from_secs(3));
    let hang = format!("{url}hang");
    let hanging = futures_util::future::join_all((0..10).map(|_| client.send(post(&hang), &short)));
    let others = async {
        settle().await;
        futures_util::future::join_all((0..30).map(|_| client.send(post(&url), &limits))).await
    };
    let (hanging, others) = tokio::join!(hanging, others);
    for ended in hanging {
        assert_eq!(ended.unwrap_err().reason(), FailureReason::ResponseTimeout);
    }
    for ended in others {
        assert_eq!(ended.unwrap().response.status(), StatusCode::OK);
    }
    assert!(most.load(Ordering::SeqCst) <= 10, "{most:?} streams at once");
    assert!(server.accepted() > 1);
}

/// Many requests at once, to a server that takes ten at a time and answers each.
#[tokio::test]
async fn no_connection_gets_more_requests_at_a_time_than_its_server_takes() {
    let identity = Identity::of(&["127.0.0.1"]);
    let (server, most) = with_streams(&identity, 10).await;
    let client = HyperClient::trusting(&identity.root, SystemResolver::new());
    let (url, limits) = (server.https("127.0.0.1"), lax());
    for _ in 0..3 {
        let all = futures_util::future::join_all((0..60).map(|_| client.send(post(&url), &limits))).await;
        assert!(all.into_iter().all(|ended| ended.is_ok()));
    }
    assert!(most.load(Ordering::SeqCst) <= 10, "{most:?} streams at once");
}

/// reqwest has one connection to a host. Requests that got no stream of it cost no attempt.
#[tokio::test]
async fn requests_that_wait_for_a_stream_of_reqwest_are_told_from_those_that_are_not_answered() {
    let identity = Identity::of(&["127.0.0.1"]);
    let (server, _) = with_streams(&identity, 1).await;
    let client = ReqwestClient::trusting(&identity.root, SystemResolver::new());
    let url = server.https("127.0.0.1");
    client.send(post(&url), &lax()).await.unwrap();
    let (hang, short) = (format!("{url}hang"), within(Duration::from_secs(2)));
    let all = futures_util::future::join_all((0..8).map(|_| client.send(post(&hang), &short))).await;
    let told: Vec<_> = all
        .into_iter()
        .map(|ended| ended.unwrap_err())
        .map(|error| (error.reason(), error.own_fault()))
        .collect();
    assert!(told.contains(&(FailureReason::ResponseTimeout, None)), "{told:?}");
    let waiting = (FailureReason::Streams, Some(OwnFault::Streams));
    // Those that the connection has taken into its queue are told as time-outs too.
    assert!(told.contains(&waiting), "{told:?}");
}

/// A server that allows no stream until the deadline: it took no request, and nothing was sent.
#[tokio::test]
async fn a_server_that_allows_no_stream_answers_nobody_and_the_log_says_so() {
    let identity = Identity::of(&["127.0.0.1"]);
    let (server, _) = with_streams(&identity, 0).await;
    let client = HyperClient::trusting(&identity.root, SystemResolver::new());
    let url = server.https("127.0.0.1");
    let both = futures_util::future::join_all(
        (0..2).map(async |_| client.send(post(&url), &within(Duration::from_secs(2))).await.unwrap_err()),
    );
    for error in both.await {
        assert_eq!((error.reason(), error.own_fault()), (FailureReason::RefusedStream, None));
        assert!(!error.maybe_sent() && error.to_string().contains("took no request"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_allows_streams_a_little_later_gets_the_request_then() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = scripted(&identity, [Act::AllowNoneAtFirst, Act::Answer]).await;
    let client = HyperClient::trusting(&identity.root, SystemResolver::new());
    let attempt = Sent::to(client, &server.https("127.0.0.1"), &loopback()).await.attempt().await;
    assert_eq!((attempt.number, attempt.status()), (1, Some(StatusCode::OK)), "{attempt:?}");
    assert_eq!(server.accepted(), 1);
}

/// An endpoint that takes one connection of one stream, and refuses every other connection. It is alive, so
/// the requests wait in line, and what has waited in vain costs no attempt.
#[tokio::test]
async fn a_request_that_gets_no_further_connection_waits_for_a_stream_at_no_cost() {
    let identity = Identity::of(&["127.0.0.1"]);
    let (mut server, told) = of_one_connection(&identity, 1).await;
    let client = HyperClient::trusting(&identity.root, SystemResolver::new());
    let url = server.https("127.0.0.1");
    client.send(post(&url), &lax()).await.unwrap();
    server.requests.recv().await.unwrap();
    let (slow, hang, limits) = (format!("{url}slow"), format!("{url}hang"), lax());
    let others = async {
        server.requests.recv().await.unwrap();
        let all = futures_util::future::join_all((0..5).map(|_| client.send(post(&url), &limits)));
        let answers = async {
            settle().await;
            told.answer.notify_one();
        };
        tokio::join!(all, answers).0
    };
    let (first, mut others) = tokio::join!(client.send(post(&slow), &limits), others);
    others.push(first);
    for ended in others {
        assert_eq!(ended.unwrap().response.status(), StatusCode::OK);
    }
    while server.requests.try_recv().is_ok() {}
    let forever = within(Duration::from_secs(86_400));
    let _hanging = tokio::spawn({
        let client = client.clone();
        async move { client.send(post(&hang), &forever).await }
    });
    server.requests.recv().await.unwrap();
    // The clock jumps to the deadline.
    tokio::time::pause();
    let error = client.send(post(&url), &limits).await.unwrap_err();
    assert_eq!((error.reason(), error.own_fault()), (FailureReason::Streams, Some(OwnFault::Streams)));
    assert!(!error.maybe_sent());
    let sent = Sent::to(client, &url, &loopback()).await;
    assert!(sent.attempts().await.is_empty());
}

/// A stream that is not answered keeps no request off a connection on which others are answered.
#[tokio::test]
async fn a_connection_that_answers_others_is_used_on_after_a_request_timed_out() {
    let identity = Identity::of(&["127.0.0.1"]);
    let (server, _told) = of_one_connection(&identity, 2).await;
    let client = HyperClient::trusting(&identity.root, SystemResolver::new());
    let (url, limits) = (server.https("127.0.0.1"), lax());
    client.send(post(&url), &limits).await.unwrap();
    let (hang, short) = (format!("{url}hang"), within(Duration::from_secs(1)));
    let others = async {
        loop {
            client.send(post(&url), &limits).await.unwrap();
        }
    };
    tokio::select! {
        biased;
        ended = client.send(post(&hang), &short) => {
            assert_eq!(ended.unwrap_err().reason(), FailureReason::ResponseTimeout);
        }
        () = others => unreachable!(),
    }
    // No other connection could be opened.
    client.send(post(&url), &limits).await.unwrap();
}

/// Once the connection that was full has ended, the endpoint refuses all of them, and that counts.
#[tokio::test]
async fn a_request_that_waits_for_a_stream_of_a_connection_that_ends_is_told_of_the_refusal() {
    let identity = Identity::of(&["127.0.0.1"]);
    let (mut server, told) = of_one_connection(&identity, 1).await;
    let client = HyperClient::trusting(&identity.root, SystemResolver::new());
    let url = server.https("127.0.0.1");
    let hang = format!("{url}hang");
    let forever = within(Duration::from_secs(86_400));
    let _hanging = tokio::spawn({
        let client = client.clone();
        async move { client.send(post(&hang), &forever).await }
    });
    server.requests.recv().await.unwrap();
    let policy = loopback();
    let waiting = (0..3).map(|_| Sent::to(client.clone(), &url, &policy));
    let waiting = futures_util::future::join_all(waiting).await;
    let all = futures_util::future::join_all(waiting.iter().map(Sent::failure));
    let ends = async {
        settle().await;
        told.end.notify_one();
    };
    let (failures, ()) = tokio::join!(all, ends);
    assert_eq!(failures, [(FailureReason::Refused, None); 3]);
}

async fn streams_that_a_server_refuses_are_sent_again_and_cost_no_attempt<C: Tested + 'static>() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = scripted(&identity, [Act::Refuse, Act::Refuse, Act::Answer]).await;
    let client = C::trusting(&identity.root, SystemResolver::new());
    let attempt = Sent::to(client, &server.https("127.0.0.1"), &loopback()).await.attempt().await;
    assert_eq!((attempt.number, attempt.status(), attempt.reason), (1, Some(StatusCode::OK), None));
}

async fn a_server_that_refuses_every_stream_costs_one_attempt_of_few_requests<C: Tested + 'static>() {
    let identity = Identity::of(&["127.0.0.1"]);
    let mut server = scripted(&identity, std::iter::repeat_n(Act::Refuse, 1_000)).await;
    let client = C::trusting(&identity.root, SystemResolver::new());
    let sent = Sent::to(client, &server.https("127.0.0.1"), &loopback()).await;
    assert_eq!(sent.failure().await, (FailureReason::RefusedStream, None));
    let mut seen = 0;
    while server.requests.try_recv().is_ok() {
        seen += 1;
    }
    assert_eq!(seen, 4);
}

async fn a_request_above_the_last_stream_of_a_server_that_goes_away_is_sent_again<C: Tested + 'static>() {
    let identity = Identity::of(&["127.0.0.1"]);
    for away in [Act::GoAwayBefore, Act::GoAwayBeforeAndClose] {
        let server = scripted(&identity, [away, Act::Answer]).await;
        let client = C::trusting(&identity.root, SystemResolver::new());
        let attempt = Sent::to(client, &server.https("127.0.0.1"), &loopback()).await.attempt().await;
        assert_eq!((attempt.number, attempt.status()), (1, Some(StatusCode::OK)), "{away:?}");
        assert_eq!(server.accepted(), 2);
    }
}

async fn a_request_that_a_server_may_have_processed_before_it_went_away_is_not_sent_again<
    C: Tested + 'static,
>() {
    let identity = Identity::of(&["127.0.0.1"]);
    for away in [Act::GoAwayAtAndClose, Act::Close] {
        let mut server = scripted(&identity, [away, Act::Answer]).await;
        let client = C::trusting(&identity.root, SystemResolver::new());
        let sent = Sent::to(client, &server.https("127.0.0.1"), &loopback()).await;
        assert_eq!(sent.failure().await, (FailureReason::Reset, None), "{away:?}");
        assert!(server.requests.try_recv().is_ok() && server.requests.try_recv().is_err());
    }
}

async fn a_server_that_goes_away_late_still_answers<C: Tested + 'static>() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = scripted(&identity, [Act::GoAwayAtAndAnswer, Act::Answer]).await;
    let client = C::trusting(&identity.root, SystemResolver::new());
    let (url, limits) = (server.https("127.0.0.1"), lax());
    for _ in 0..2 {
        assert_eq!(client.send(post(&url), &limits).await.unwrap().response.status(), StatusCode::OK);
    }
    assert_eq!(server.accepted(), 2);
}

/// A status proves that the request was processed, whatever follows it.
async fn a_stream_that_is_refused_after_its_status_is_not_sent_again<C: Tested + 'static>() {
    let identity = Identity::of(&["127.0.0.1"]);
    let mut server = scripted(&identity, [Act::StatusAndRefuse, Act::Answer]).await;
    let client = C::trusting(&identity.root, SystemResolver::new());
    let sent = Sent::to(client, &server.https("127.0.0.1"), &loopback()).await;
    assert_eq!(sent.failure().await, (FailureReason::ResetAfterStatus, Some(200)));
    assert!(server.requests.try_recv().is_ok() && server.requests.try_recv().is_err());
}

/// A server that is about to end says so before it is asked. Another connection gets the request.
#[tokio::test]
async fn a_server_that_goes_away_before_it_is_asked_costs_no_attempt() {
    let identity = Identity::of(&["127.0.0.1"]);
    let server = scripted(&identity, [Act::GoAwayAtOnce, Act::GoAwayAtOnce, Act::Answer]).await;
    let client = HyperClient::trusting(&identity.root, SystemResolver::new());
    let attempt = Sent::to(client, &server.https("127.0.0.1"), &loopback()).await.attempt().await;
    assert_eq!((attempt.number, attempt.status()), (1, Some(StatusCode::OK)), "{attempt:?}");
    assert_eq!(server.accepted(), 3);
}

/// A server that takes `streams` requests at a time on each connection, and the most that it had at once.
async fn with_streams(identity: &Identity, streams: u32) -> (Server, Arc<AtomicUsize>) {
    let most = Arc::new(AtomicUsize::new(0));
    let (acceptor, peak) = (identity.acceptor(&[b"h2"]), Arc::clone(&most));
    let server = Server::start(move |stream, _| {
        let (acceptor, peak) = (acceptor.clone(), Arc::clone(&peak));
        async move {
            let stream = acceptor.accept(stream).await?;
            let mut builder = h2::server::Builder::new();
            let mut connection =
                builder.max_concurrent_streams(streams).handshake(stream).await.map_err(io::Error::other)?;
            let open = Arc::new(AtomicUsize::new(0));
            while let Some(accepted) = connection.accept().await {
                let (request, mut respond) = accepted.map_err(io::Error::other)?;
                peak.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let open = Arc::clone(&open);
                tokio::spawn(async move {
                    if request.uri().path() == "/hang" {
                        let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
                    } else {
                        settle().await;
                        let mut body = respond.send_response(Response::new(()), false).unwrap();
                        open.fetch_sub(1, Ordering::SeqCst);
                        let _ = body.send_data(Bytes::from_static(b"ok"), true);
                        return;
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
            Ok(())
        }
    })
    .await;
    (server, most)
}

/// The signals of a test to a server of one connection.
#[derive(Clone, Default)]
struct Told {
    /// To end the connection.
    end: Arc<Notify>,
    /// To answer a request to `/slow`.
    answer: Arc<Notify>,
}

/// A server that takes one connection, with some streams at a time, and refuses every other one.
async fn of_one_connection(identity: &Identity, streams: u32) -> (Server, Told) {
    let acceptor = identity.acceptor(&[b"h2"]);
    let told = Told::default();
    let Told { end, answer } = told.clone();
    let server = Server::of_one_connection(move |stream, requests| async move {
        let stream = acceptor.accept(stream).await?;
        let mut builder = h2::server::Builder::new();
        let mut connection =
            builder.max_concurrent_streams(streams).handshake(stream).await.map_err(io::Error::other)?;
        let serve = async {
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let (_, answer) = (requests.send(String::new()), Arc::clone(&answer));
                tokio::spawn(async move {
                    if request.uri().path() == "/hang" {
                        let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
                    } else {
                        if request.uri().path() == "/slow" {
                            answer.notified().await;
                        }
                        let mut body = respond.send_response(Response::new(()), false).unwrap();
                        let _ = body.send_data(Bytes::from_static(b"ok"), true);
                    }
                });
            }
        };
        tokio::select! {
            () = serve => {}
            () = end.notified() => {}
        }
        Ok(())
    })
    .await;
    (server, told)
}

/// The reaction of a server to a request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer,
    /// Resets the stream with REFUSED_STREAM.
    Refuse,
    /// Sends GOAWAY whose last stream is the one before this request's.
    GoAwayBefore,
    GoAwayBeforeAndClose,
    /// Sends GOAWAY whose last stream is this request's, and closes the connection.
    GoAwayAtAndClose,
    GoAwayAtAndAnswer,
    /// Sends GOAWAY before any request, and closes the connection.
    GoAwayAtOnce,
    /// Allows no stream before any request, and any number a little later.
    AllowNoneAtFirst,
    /// Sends a status, and resets the stream with REFUSED_STREAM.
    StatusAndRefuse,
    Close,
}

/// A server of single frames that reacts to each request as `acts` say, over all connections.
async fn scripted(identity: &Identity, acts: impl IntoIterator<Item = Act>) -> Server {
    let acts = Arc::new(Mutex::new(acts.into_iter().collect::<VecDeque<_>>()));
    let acceptor = identity.acceptor(&[b"h2"]);
    Server::start(move |stream, requests| {
        let (acts, acceptor) = (Arc::clone(&acts), acceptor.clone());
        async move {
            let mut stream = acceptor.accept(stream).await?;
            serve(&mut stream, &acts, &requests).await?;
            stream.shutdown().await
        }
    })
    .await
}

async fn serve(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    acts: &Mutex<VecDeque<Act>>,
    requests: &mpsc::UnboundedSender<String>,
) -> io::Result<()> {
    // The client's preface, RFC 9113 section 3.4.
    stream.read_exact(&mut [0; 24]).await?;
    if acts.lock().unwrap().pop_front_if(|act| matches!(act, Act::AllowNoneAtFirst)).is_some() {
        write_frame(stream, SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 0]).await?;
        settle().await;
        write_frame(stream, SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]).await?;
    } else {
        write_frame(stream, SETTINGS, 0, 0, &[]).await?;
    }
    if acts.lock().unwrap().pop_front_if(|act| matches!(act, Act::GoAwayAtOnce)).is_some() {
        return go_away(stream, 0).await;
    }
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).await?;
        let id = u32::from_be_bytes(id);
        if kind == SETTINGS && flags == 0 {
            write_frame(stream, SETTINGS, ACK, 0, &[]).await?;
        }
        // The request is whole.
        if !matches!(kind, HEADERS | DATA) || flags & END_STREAM == 0 {
            continue;
        }
        let _ = requests.send(String::new());
        let act = acts.lock().unwrap().pop_front().unwrap();
        match act {
            Act::Answer => answer(stream, id).await?,
            Act::Refuse => refuse(stream, id).await?,
            Act::StatusAndRefuse => {
                write_frame(stream, HEADERS, END_HEADERS, id, STATUS_200).await?;
                settle().await;
                refuse(stream, id).await?;
            }
            Act::GoAwayBefore | Act::GoAwayBeforeAndClose => go_away(stream, id.saturating_sub(2)).await?,
            Act::GoAwayAtAndClose | Act::GoAwayAtAndAnswer => go_away(stream, id).await?,
            Act::Close | Act::GoAwayAtOnce | Act::AllowNoneAtFirst => {}
        }
        match act {
            Act::GoAwayBeforeAndClose | Act::GoAwayAtAndClose | Act::Close => return Ok(()),
            Act::GoAwayAtAndAnswer => {
                settle().await;
                answer(stream, id).await?;
            }
            Act::Answer
            | Act::Refuse
            | Act::StatusAndRefuse
            | Act::GoAwayBefore
            | Act::GoAwayAtOnce
            | Act::AllowNoneAtFirst => {}
        }
    }
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), id: u32) -> io::Result<()> {
    write_frame(stream, HEADERS, END_STREAM | END_HEADERS, id, STATUS_200).await
}

async fn refuse(stream: &mut (impl AsyncWrite + Unpin), id: u32) -> io::Result<()> {
    write_frame(stream, RST_STREAM, 0, id, &u32::from(Reason::REFUSED_STREAM).to_be_bytes()).await
}

async fn go_away(stream: &mut (impl AsyncWrite + Unpin), last: u32) -> io::Result<()> {
    let mut payload = last.to_be_bytes().to_vec();
    payload.extend(u32::from(Reason::NO_ERROR).to_be_bytes());
    write_frame(stream, GOAWAY, 0, 0, &payload).await
}

async fn write_frame(
    stream: &mut (impl AsyncWrite + Unpin),
    kind: u8,
    flags: u8,
    id: u32,
    payload: &[u8],
) -> io::Result<()> {
    let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(id.to_be_bytes());
    frame.extend(payload);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// ":status: 200" of HPACK's static table, RFC 7541 appendix A.
const STATUS_200: &[u8] = &[0x88];

// RFC 9113 section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
