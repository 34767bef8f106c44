//! One payment's way, everything that is refused a way, what people decide, and what is sent in a payment's place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod asking;
mod bumping;
mod paying;
mod refusing;
