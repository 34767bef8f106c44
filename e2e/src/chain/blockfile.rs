//! The embedded chain's blocks in a file, so that a devnet can be resumed.
//!
//! The file is the best chain above genesis, oldest first: each block's length (4 bytes, big endian), then its
//! consensus encoding. A reorganisation cuts the tail off. A block that was being written when the process died is
//! cut off at the next start. What waits in the mempool is not kept: wallets send it again.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::Context as _;
use bitcoin::Block;
use bitcoin::consensus::encode::{deserialize, serialize};

/// Bytes of a length.
const PREFIX: usize = 4;

/// An open block file.
pub(crate) struct BlockFile {
    file: File,
    /// Where each block begins, then where the next one will.
    offsets: Vec<u64>,
}

impl BlockFile {
    /// Opens or makes the file and reads its blocks. Errors when it cannot be read or holds something else than
    /// blocks.
    pub(crate) fn open(path: &Path) -> anyhow::Result<(Self, Vec<Block>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (mut blocks, mut offsets, mut rest) = (Vec::new(), vec![0], bytes.as_slice());
        while let Some((block, after)) = next_block(rest) {
            let block = deserialize(block).with_context(|| {
                format!(
                    "{}: block {} is unreadable; remove the folder to start anew",
                    path.display(),
                    blocks.len()
                )
            })?;
            blocks.push(block);
            rest = after;
            offsets.push(u64::try_from(bytes.len().saturating_sub(rest.len()))?);
        }
        let mut kept = Self { file, offsets };
        kept.cut(blocks.len())?;
        Ok((kept, blocks))
    }

    /// Appends a block.
    pub(crate) fn append(&mut self, block: &Block) -> anyhow::Result<()> {
        let block = serialize(block);
        let mut bytes = u32::try_from(block.len())?.to_be_bytes().to_vec();
        bytes.extend(block);
        self.file.write_all(&bytes)?;
        self.offsets.push(self.end().saturating_add(u64::try_from(bytes.len())?));
        Ok(())
    }

    /// Keeps the first `blocks` blocks.
    pub(crate) fn cut(&mut self, blocks: usize) -> anyhow::Result<()> {
        self.offsets.truncate(blocks.saturating_add(1));
        self.file.set_len(self.end())?;
        self.file.seek(SeekFrom::End(0))?;
        Ok(())
    }

    /// How many blocks the file holds.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    fn end(&self) -> u64 {
        self.offsets.last().copied().unwrap_or(0)
    }
}

/// The first whole block of `bytes` and what follows it.
fn next_block(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*prefix)).ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use bitcoin::Network;
    use bitcoin::constants::genesis_block;

    use super::*;

    #[test]
    fn blocks_are_read_back_and_a_torn_one_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("blocks");
        let block = genesis_block(Network::Regtest);
        let (mut file, none) = BlockFile::open(&path).unwrap();
        assert!(none.is_empty());
        for _ in 0..3 {
            file.append(&block).unwrap();
        }
        file.cut(2).unwrap();
        drop(file);
        let whole = std::fs::metadata(&path).unwrap().len();
        let torn = OpenOptions::new().append(true).open(&path).unwrap();
        (&torn).write_all(&[0, 0, 1, 0, 7, 7]).unwrap();

        let (mut file, blocks) = BlockFile::open(&path).unwrap();
        assert_eq!(blocks, vec![block.clone(), block.clone()]);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), whole);
        file.append(&block).unwrap();
        assert_eq!(BlockFile::open(&path).unwrap().1.len(), 3);
    }
}
