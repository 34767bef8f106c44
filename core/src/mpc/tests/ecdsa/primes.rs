//! Primes at rest.

use super::*;

#[test]
fn primes_read_back() {
    for suite in SUITES {
        let bytes = primes(suite, 0).to_secret_bytes();
        assert!(bytes.len() <= Primes::MAX_BYTES);
        assert_eq!(*Primes::from_secret_bytes(&bytes).unwrap().to_secret_bytes(), *bytes);
    }
}

#[test]
fn damaged_primes_are_refused() {
    for suite in SUITES {
        let bytes = primes(suite, 0).to_secret_bytes();
        let read = |bytes: &[u8]| Primes::from_secret_bytes(bytes).err();
        assert_eq!(read(&[]), Some(PrimesError::Damaged));
        assert_eq!(read(&bytes[..bytes.len() - 1]), Some(PrimesError::Damaged));
        assert_eq!(read(&[bytes.as_slice(), &[0]].concat()), Some(PrimesError::Damaged));
        assert_eq!(read(&[&[2], &bytes[1..]].concat()), Some(PrimesError::Version { version: 2 }));
        for index in 1..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[index] ^= 1;
            assert_eq!(read(&damaged), Some(PrimesError::Damaged), "byte {index}");
        }
    }
}

#[test]
fn primes_differ_from_seed_to_seed_and_not_from_call_to_call() {
    for suite in SUITES {
        let bytes = |slot| primes(suite, slot).to_secret_bytes();
        assert_eq!(*bytes(0), *bytes(0));
        assert_ne!(*bytes(0), *bytes(1));
    }
}

#[test]
fn debug_output_of_primes_is_public() {
    assert_eq!(format!("{:?}", primes(Suite::MockEcdsa, 0)), "Primes { strength: Mock, .. }");
}

#[test]
fn suites_without_use_for_primes_refuse_them_and_the_others_demand_theirs() {
    for suite in [Suite::Givre, Suite::Mock] {
        assert!(matches!(Primes::generate(suite, [1; 32]), Err(RefusedParams::Primes)));
        assert!(matches!(PrimeSearch::new(suite, [1; 32]), Err(RefusedParams::Primes)));
        let started = suite.keygen_with_primes(keygen_params(0, 3, 2), primes(Suite::MockEcdsa, 0), [1; 32]);
        assert_eq!(started.err(), Some(RefusedParams::Primes));
    }
    for (suite, other) in [(Suite::Cggmp24, Suite::MockEcdsa), (Suite::MockEcdsa, Suite::Cggmp24)] {
        assert_eq!(suite.keygen(keygen_params(0, 3, 2), [1; 32]).err(), Some(RefusedParams::Primes));
        let started = suite.keygen_with_primes(keygen_params(0, 3, 2), primes(other, 0), [1; 32]);
        assert_eq!(started.err(), Some(RefusedParams::Primes));
    }
}
