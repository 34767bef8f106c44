//! Real servers beside the nodes, each on ports and in a folder of its own.

pub mod etcd;
mod papers;
