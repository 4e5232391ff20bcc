//! Checksums of rows: what was damaged on disk is never served as valid.

use gateway_model::hash::Hasher;

use crate::failure::Failure;

/// Collects the columns of one row. Each is preceded by its length, so that no two rows have one text.
pub(crate) struct Sum(Hasher);

impl Sum {
    pub(crate) fn new(table: &str) -> Self {
        Self(Hasher::new()).text(table)
    }

    pub(crate) fn int(mut self, value: i64) -> Self {
        self.0.update(&value.to_be_bytes());
        self
    }

    pub(crate) fn optional_int(self, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.int(1).int(value),
            None => self.int(0),
        }
    }

    pub(crate) fn bytes(mut self, value: &[u8]) -> Self {
        self.0.update(&(value.len() as u64).to_be_bytes());
        self.0.update(value);
        self
    }

    pub(crate) fn text(self, value: &str) -> Self {
        self.bytes(value.as_bytes())
    }

    pub(crate) fn optional_bytes(self, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.int(1).bytes(value),
            None => self.int(0),
        }
    }

    pub(crate) fn optional_text(self, value: Option<&str>) -> Self {
        self.optional_bytes(value.map(str::as_bytes))
    }

    pub(crate) fn finish(self) -> i64 {
        let digest = self.0.finish();
        let mut first = [0; 8];
        first.copy_from_slice(&digest.0[..8]);
        i64::from_be_bytes(first)
    }

    /// Compares with what stands in the row.
    pub(crate) fn check(self, kept: i64, row: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.finish() == kept {
            Ok(())
        } else {
            Err(Failure::Damaged(format!("{}: the row does not match its checksum", row())))
        }
    }
}
