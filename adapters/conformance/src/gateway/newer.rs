//! A gateway of tomorrow: its answers carry fields that adapters of today do not know, on every level.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

/// A field that no message has, with a text in it: number 1999, length-delimited.
const UNKNOWN: &[u8] = b"\xfa\x7c\x0dfrom tomorrow";
/// Length of the head of a gRPC message.
const HEAD: usize = 5;
/// Tag of `LeaseResponse.deliveries`.
const DELIVERIES: u8 = 0x0a;

/// A service whose unary answers are given unknown fields.
#[derive(Clone)]
pub struct Speech<S> {
    inner: S,
    newer: bool,
}

impl<S> Speech<S> {
    /// Leaves the answers alone unless `newer`.
    pub fn new(inner: S, newer: bool) -> Self {
        Self { inner, newer }
    }
}

impl<S: NamedService> NamedService for Speech<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Speech<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let answer = self.inner.call(request);
        let changes = self.newer && method != "DownloadPart";
        Box::pin(async move {
            let response = answer.await?;
            if !changes {
                return Ok(response);
            }
            let (parts, body) = response.into_parts();
            let Ok(collected) = body.collect().await else {
                return Ok(http::Response::from_parts(parts, Body::empty()));
            };
            let trailers = collected.trailers().cloned();
            let message = speak(&collected.to_bytes(), method == "Lease");
            let body = Full::new(message).with_trailers(std::future::ready(trailers.map(Ok)));
            Ok(http::Response::from_parts(parts, Body::new(body)))
        })
    }
}

/// Adds the unknown field to a framed message, and to each delivery in it. An empty answer (an error) stays empty.
fn speak(framed: &Bytes, deliveries: bool) -> Bytes {
    let Some(message) = framed.get(HEAD..) else { return framed.clone() };
    let mut spoken = BytesMut::new();
    if deliveries {
        spoken.put(speak_within(message));
    } else {
        spoken.put(message);
    }
    spoken.put(UNKNOWN);
    let mut whole = BytesMut::new();
    whole.put_u8(0);
    whole.put_u32(u32::try_from(spoken.len()).unwrap_or(u32::MAX));
    whole.put(spoken);
    whole.freeze()
}

/// `LeaseResponse` has one field: deliveries, each with its length.
fn speak_within(mut message: &[u8]) -> Bytes {
    let mut spoken = BytesMut::new();
    while let Some((&DELIVERIES, rest)) = message.split_first() {
        let mut rest = rest;
        let Ok(length) = prost::encoding::decode_varint(&mut rest) else { break };
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
        let (delivery, after) = rest.split_at(length);
        spoken.put_u8(DELIVERIES);
        prost::encoding::encode_varint((delivery.len() + UNKNOWN.len()) as u64, &mut spoken);
        spoken.put(delivery);
        spoken.put(UNKNOWN);
        message = after;
    }
    spoken.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use prost::Message as _;
    use proto::v1;

    use super::*;

    #[test]
    fn what_is_added_is_unknown_and_what_was_there_stays() {
        let delivery = |id: &str| v1::LeasedDelivery { delivery_id: id.to_owned(), attempt: 1, ..Default::default() };
        let response = v1::LeaseResponse { deliveries: vec![delivery("a"), delivery("b")] };
        let bytes = response.encode_to_vec();
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(u32::try_from(bytes.len()).unwrap());
        framed.put(bytes.as_slice());
        let spoken = speak(&framed.freeze(), true);
        assert_eq!(spoken.windows(13).filter(|window| window == b"from tomorrow").count(), 3);
        assert_eq!(v1::LeaseResponse::decode(&spoken[HEAD..]).unwrap(), response);
    }

    #[test]
    fn an_error_stays_as_it_is() {
        assert_eq!(speak(&Bytes::new(), true), Bytes::new());
    }
}
