#![cfg_attr(fuzzing, no_main)]
mpc_wallet_fuzz::fuzz!(message);
