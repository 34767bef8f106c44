//! What programs and people meet of a node: its API, events, webhooks and metrics, over a scripted node or a real journal, and
//! the command line that speaks the API. One program, because each takes longer to link than its tests to run.

mod access;
mod approval;
mod bump;
mod cli;
mod dashboard;
mod description;
mod events;
mod freeze;
mod metrics;
mod payments;
mod presignatures;
mod reads;
mod support;
mod webhooks;
