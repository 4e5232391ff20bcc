//! DirectoryService: hands the signed directory in force to any party that is registered in it.

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use gateway_model::Reason;
use gateway_model::limits::CHUNK_BYTES_MAX;
use proto::v1;
use proto::v1::directory_service_server::DirectoryService;
use tonic::{Request, Response, Status};

use super::Doors;
use super::pipeline::Answers;

/// The service.
#[derive(Clone)]
pub struct DirectoryDoor(pub Doors);

#[tonic::async_trait]
impl DirectoryService for DirectoryDoor {
    type FetchDirectoryStream = Answers<v1::FetchDirectoryResponse>;

    async fn fetch_directory(
        &self,
        request: Request<v1::FetchDirectoryRequest>,
    ) -> Result<Response<Self::FetchDirectoryStream>, Status> {
        let caller = self.0.caller(&request)?;
        let current = self.0.directory.borrow().clone();
        let (version, bytes) = current.ok_or_else(|| caller.status(&Reason::DirectoryMissing.into()))?;
        let left = if request.into_inner().have_version < version { bytes } else { Bytes::new() };
        Ok(Response::new(stream::iter(Chunks(left)).map(Ok).boxed()))
    }
}

/// Cuts bytes into chunks without copying them.
struct Chunks(Bytes);

impl Iterator for Chunks {
    type Item = v1::FetchDirectoryResponse;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let chunk = self.0.split_to(self.0.len().min(CHUNK_BYTES_MAX));
        Some(v1::FetchDirectoryResponse { chunk })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_bounded_and_together_they_are_the_whole() {
        let whole = Bytes::from(vec![7; CHUNK_BYTES_MAX * 2 + 5]);
        let sizes: Vec<usize> = Chunks(whole).map(|response| response.chunk.len()).collect();
        assert_eq!(sizes, [CHUNK_BYTES_MAX, CHUNK_BYTES_MAX, 5]);
        assert_eq!(Chunks(Bytes::new()).count(), 0);
    }
}
