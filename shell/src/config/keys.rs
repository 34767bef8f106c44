//! Key files: secret bytes as hexadecimal digits, readable by their owner alone. Keys have 32 bytes; a set of primes,
//! found ahead of a key generation, has more.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use bitcoin::hex::{DisplayHex, FromHex};
use mpc_wallet_core::{
    VoteKey, VotePublicKey,
    identity::KeyError,
    mpc::{
        RefusedParams, Suites,
        ecdsa::{Prime, PrimeSearch, Primes, PrimesError},
    },
};
use rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

/// Why a key file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read it.
    #[error("{} has mode {mode:04o}; a key must be its owner's alone: chmod 600 {}", path.display(), path.display())]
    Permissions {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not 64 hexadecimal digits.
    #[error("{} does not hold 64 hexadecimal digits", .0.display())]
    Form(PathBuf),
    /// Not one line of a few characters.
    #[error("{} does not hold one password of 1 to {MAX_PASSWORD} characters on one line", .0.display())]
    PasswordForm(PathBuf),
    /// No key of the curve.
    #[error("{}: {source}", path.display())]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// Not hexadecimal digits of a set of primes.
    #[error("{} does not hold primes as hexadecimal digits; {MAKE_PRIMES}", .0.display())]
    PrimesForm(PathBuf),
    /// No set of primes.
    #[error("{}: {source}; {MAKE_PRIMES}", path.display())]
    Primes {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: PrimesError,
    },
    /// The suite of the SegWit wallet has no use for primes.
    #[error("no primes are made: {0}")]
    NoUse(RefusedParams),
    /// Every thread of the search for primes panicked.
    #[error("the search for primes broke off; try again, and report what was printed above")]
    Search,
}

/// Longest password, in bytes.
const MAX_PASSWORD: usize = 256;

/// The way to a file of primes.
const MAKE_PRIMES: &str = "mpc-wallet-cli primes generate makes such a file";

/// Reads 32 secret bytes.
///
/// # Errors
/// If the file is missing, open to others (mode beyond 0600) or not 64 hexadecimal digits. No error quotes the
/// contents.
pub fn read_secret(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let form = || KeyFileError::Form(path.to_owned());
    let text = read_private(path, 32, form)?;
    <[u8; 32]>::from_hex(digits(&text)).map(Zeroizing::new).map_err(|_| form())
}

/// Reads a set of primes that [`generate_primes`] wrote.
///
/// # Errors
/// If the file is missing, open to others (mode beyond 0600) or no set of primes. No error quotes the contents.
pub fn read_primes(path: &Path) -> Result<Primes, KeyFileError> {
    let form = || KeyFileError::PrimesForm(path.to_owned());
    let text = read_private(path, Primes::MAX_BYTES, form)?;
    let bytes = Vec::from_hex(digits(&text)).map(Zeroizing::new).map_err(|_| form())?;
    Primes::from_secret_bytes(&bytes).map_err(|source| KeyFileError::Primes { path: path.to_owned(), source })
}

/// Reads a password: the file's only line.
///
/// # Errors
/// If the file is missing, open to others (mode beyond 0600) or not one short line. No error quotes the contents.
pub fn read_password(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let form = || KeyFileError::PasswordForm(path.to_owned());
    let text = read_private(path, MAX_PASSWORD, form)?;
    let line = digits(&text);
    let fits = (1..=MAX_PASSWORD).contains(&line.len()) && !line.contains(char::is_control);
    fits.then(|| Zeroizing::new(line.to_owned())).ok_or_else(form)
}

/// A file of its owner's alone, with the digits of at most `most` bytes.
fn read_private(
    path: &Path,
    most: usize,
    form: impl Fn() -> KeyFileError,
) -> Result<Zeroizing<String>, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    // Of the open file, so that what is checked is what is read.
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Permissions { path: path.to_owned(), mode });
    }
    // Digits, a line break of two bytes, and one byte more that tells of too many. Fixed room: growing would leave
    // copies of the secret behind in freed memory.
    let room = most.saturating_mul(2).saturating_add(3);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room.saturating_add(1)));
    let bound = u64::try_from(room).unwrap_or(u64::MAX);
    file.take(bound).read_to_end(&mut bytes).map_err(io)?;
    std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| form())
}

/// As the store of sealed secrets reads its own key: one line, nothing around the digits.
fn digits(text: &str) -> &str {
    let line = text.strip_suffix('\n').unwrap_or(text);
    line.strip_suffix('\r').unwrap_or(line)
}

/// Reads a node's identity.
///
/// # Errors
/// As [`read_secret`], and if the bytes are no secp256k1 key.
pub fn read_identity(path: &Path) -> Result<VoteKey, KeyFileError> {
    VoteKey::from_bytes(&*read_secret(path)?)
        .map_err(|source| KeyFileError::Key { path: path.to_owned(), source })
}

/// Makes a new identity file and returns its public half for the manifest.
///
/// # Errors
/// If the file exists (an identity is never overwritten) or cannot be written.
pub fn generate_identity(path: &Path) -> Result<VotePublicKey, KeyFileError> {
    loop {
        let secret = random_bytes(path)?;
        // Fewer than one value in 2^127 is no key.
        if let Ok(key) = VoteKey::from_bytes(&secret) {
            write_new(path, &secret)?;
            return Ok(key.public());
        }
    }
}

/// Finds primes for one SegWit key generation of one node and writes them to a new file, in the form that
/// [`read_primes`] reads. Takes a minute or more of processor time, on all processors at once.
///
/// # Errors
/// If the file exists (it may be in use) or cannot be written; both are found out before the search.
pub fn generate_primes(path: &Path) -> Result<(), KeyFileError> {
    // To find out now, and not after the search. What stands there meanwhile would be in the way of another attempt.
    drop(create_new(path)?);
    std::fs::remove_file(path).map_err(|source| KeyFileError::Io { path: path.to_owned(), source })?;
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let searches = (0..processors).map(|_| {
        let seed = random_bytes(path)?;
        PrimeSearch::new(Suites::PRODUCTION.segwit, *seed).map_err(KeyFileError::NoUse)
    });
    let primes = first_found(searches.collect::<Result<_, _>>()?).ok_or(KeyFileError::Search)?;
    write_line(&mut create_new(path)?, path, &primes.to_secret_bytes())
}

/// The primes that are found first by searches that go on at once; `None` if all of them panicked.
fn first_found(searches: Vec<PrimeSearch>) -> Option<Primes> {
    let enough = AtomicBool::new(false);
    let (finder, finds) = mpsc::channel();
    let found: Vec<Prime> = thread::scope(|scope| {
        let look = |mut search: PrimeSearch| {
            let (finder, enough) = (finder.clone(), &enough);
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    if search.step().is_some_and(|prime| finder.send(prime).is_err()) {
                        break;
                    }
                }
            })
        };
        let searchers: Vec<_> = searches.into_iter().map(look).collect();
        drop(finder);
        let found = finds.iter().take(Primes::COUNT).collect();
        enough.store(true, Ordering::Relaxed);
        // One that panicked has said so; the others have found what is wanted, or too little.
        searchers.into_iter().for_each(|searcher| drop(searcher.join()));
        found
    });
    found.try_into().ok().map(Primes::of)
}

fn random_bytes(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let mut bytes = Zeroizing::new([0; 32]);
    OsRng.try_fill_bytes(&mut *bytes).map_err(|error| KeyFileError::Io {
        path: path.to_owned(),
        source: io::Error::other(error.to_string()),
    })?;
    Ok(bytes)
}

fn write_new(path: &Path, secret: &[u8; 32]) -> Result<(), KeyFileError> {
    write_line(&mut create_new(path)?, path, secret)
}

fn create_new(path: &Path) -> Result<File, KeyFileError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| KeyFileError::Io { path: path.to_owned(), source })
}

fn write_line(file: &mut File, path: &Path, secret: &[u8]) -> Result<(), KeyFileError> {
    let text = Zeroizing::new(format!("{:x}\n", secret.as_hex()));
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|source| KeyFileError::Io { path: path.to_owned(), source })
}
