//! One payment's way, and everything that is refused a way.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod paying;
mod refusing;
