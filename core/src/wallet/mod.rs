//! The wallet's arithmetic: which coins pay, what the transaction looks like, and whether a proposal is what it says.
