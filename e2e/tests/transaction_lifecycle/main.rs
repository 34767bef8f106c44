//! One payment's way, everything that is refused a way, and what people decide.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod asking;
mod paying;
mod refusing;
