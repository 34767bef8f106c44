//! Patience with an end, and with an account of what was seen when it ended.

use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Between two looks. A look is an HTTP request to a node of this machine: a millisecond.
const BETWEEN: Duration = Duration::from_millis(25);

/// Looks until `probe` brings something. Its errors mean "not yet, because …"; the last one is told when `within`
/// has passed.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut probe: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now().checked_add(within).context("the deadline is beyond the clock")?;
    loop {
        match probe() {
            Ok(found) => return Ok(found),
            Err(state) => anyhow::ensure!(
                Instant::now() < deadline,
                "waited {within:?} in vain for: {what}; last seen: {state:#}"
            ),
        }
        std::thread::sleep(BETWEEN);
    }
}

/// Looks for the whole of `span` and errors at once when `probe` does: for what must not happen meanwhile.
pub fn hold_for(
    what: &str,
    span: Duration,
    mut probe: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let end = Instant::now().checked_add(span).context("the end is beyond the clock")?;
    while Instant::now() < end {
        probe().with_context(|| format!("did not last {span:?}: {what}"))?;
        std::thread::sleep(BETWEEN);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_vain_wait_tells_what_was_seen_last() {
        let mut looks = 0;
        let vain = wait_for("the third look", Duration::from_millis(30), || {
            looks += 1;
            anyhow::bail!("{} looks", looks.min(1)) as anyhow::Result<()>
        });
        let text = vain.unwrap_err().to_string();
        assert_eq!(text, "waited 30ms in vain for: the third look; last seen: 1 looks");
        assert_eq!(wait_for("now", Duration::ZERO, || Ok(7)).unwrap(), 7);
    }
}
