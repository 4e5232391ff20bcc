//! The files of the examples and of the wire, compiled in.

use super::Template;

macro_rules! example {
    ($folder:literal, $path:literal) => {
        Template { path: $path, text: include_str!(concat!("../../../examples/", $folder, "/", $path)) }
    };
}

macro_rules! proto {
    ($name:literal) => {
        Template {
            path: concat!("lienthong/gateway/v1/", $name),
            text: include_str!(concat!("../../../../proto/lienthong/gateway/v1/", $name)),
        }
    };
}

/// The Python example.
pub const PYTHON: &[Template] = &[
    example!("python", "adapter.py"),
    example!("python", "lienthong_adapter.py"),
    example!("python", "make_stubs.py"),
    example!("python", "adapter-test.toml"),
    example!("python", "requirements.txt"),
    example!("python", ".gitignore"),
];

/// The Rust example.
pub const RUST: &[Template] = &[
    example!("rust", "Cargo.toml"),
    example!("rust", "src/main.rs"),
    example!("rust", "src/worker.rs"),
    example!("rust", "adapter-test.toml"),
    example!("rust", ".gitignore"),
];

/// The Java example.
pub const JAVA: &[Template] = &[
    example!("java", "pom.xml"),
    example!("java", "src/main/java/vn/lienthong/adapter/Hello.java"),
    example!("java", "src/main/java/vn/lienthong/adapter/Adapter.java"),
    example!("java", "src/main/java/vn/lienthong/adapter/Delivery.java"),
    example!("java", "src/main/java/vn/lienthong/adapter/Failed.java"),
    example!("java", "src/main/java/vn/lienthong/adapter/Journal.java"),
    example!("java", "src/main/java/vn/lienthong/adapter/LeaseLost.java"),
    example!("java", "src/main/java/vn/lienthong/adapter/Worker.java"),
    example!("java", "adapter-test.toml"),
    example!("java", ".gitignore"),
];

/// The wire, as far as an adapter speaks it: the door of the workers, and what that stands on.
pub const PROTO: &[Template] =
    &[proto!("adapter.proto"), proto!("envelope.proto"), proto!("receipt.proto"), proto!("submit.proto")];
