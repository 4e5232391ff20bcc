//! The wire and nothing else: the package `lienthong.gateway.v1`, compiled from `proto/lienthong/gateway/v1`.

/// `lienthong.gateway.v1`: messages, clients and servers. The comments of the proto files are its documentation.
// The comments are the proto files' own, written for readers of the wire and not for rustdoc.
#[allow(
    missing_docs,
    clippy::too_many_lines,
    rustdoc::invalid_html_tags,
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links
)]
pub mod v1 {
    tonic::include_proto!("lienthong.gateway.v1");
}

/// Serialized `FileDescriptorSet` of the package, for reflection and for clients in other languages.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
