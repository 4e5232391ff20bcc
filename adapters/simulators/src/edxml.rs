//! Packages as other organisations' programs write and read them. Nothing here is shared with the gateway: what both sides understand alike
//! is only what stands in the package.

pub mod reading;
pub mod writing;

/// The namespace of QCVN 102:2016.
pub const NAMESPACE: &str = "http://www.mic.gov.vn/TBT/QCVN_102_2016";

/// How a producer writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// The regulation's layout: the prefix `edXML:` in a default namespace, raw files, a signature that proves nothing.
    Standard,
    /// The default namespace only, another root, another order, lines of 76 characters, a byte order mark.
    Bare,
    /// A prefix of its own, `xlink:href`, each file in a ZIP.
    Zipped,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Bare, Self::Zipped];
}
