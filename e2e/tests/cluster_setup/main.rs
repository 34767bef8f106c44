//! A cluster comes into being, keeps strangers out, ends in order and comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod forming;
mod intruders;
mod operating;
