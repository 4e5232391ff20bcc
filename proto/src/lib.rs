//! The wire and nothing else: the package `lienthong.gateway.v1`, compiled from `proto/lienthong/gateway/v1`.

/// `lienthong.gateway.v1`: messages, clients and servers. The comments of the proto files are its documentation.
#[allow(missing_docs, clippy::too_many_lines)]
pub mod v1 {
    tonic::include_proto!("lienthong.gateway.v1");
}

/// Serialized `FileDescriptorSet` of the package, for reflection and for clients in other languages.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
