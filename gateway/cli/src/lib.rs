//! One file per verb, over the public gRPC doors.
