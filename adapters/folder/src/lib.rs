//! A drop folder: the adapter to copy.
