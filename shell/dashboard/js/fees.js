// Fee rates to choose from.

/** The estimate for confirmation within `target` blocks: of the greatest target not above it, else of the next. */
function estimate(estimates, target) {
  const known = Object.entries(estimates ?? {}).map(([blocks, rate]) => [Number(blocks), rate]).sort(([a], [b]) => a - b);
  return (known.filter(([blocks]) => blocks <= target).at(-1) ?? known[0])?.[1] ?? null;
}

/** What the proposing node aims at when no rate is given, in blocks. */
const STANDARD = 6;

/** [{value, name, hint, rate, given}]: `rate` in sat/vB, `null` if unknown; `given` says whether it is posted: the node
    estimates the standard one anew when it builds the payment. */
export function feeChoices(chain) {
  const rate = (target) => estimate(chain?.fee_estimates, target);
  const levels = [
    { value: "standard", name: "Standard", rate: rate(STANDARD), given: false, about: "about an hour" },
    { value: "next", name: "Next block", rate: rate(1), given: true, about: "some minutes" },
    { value: "day", name: "Slow", rate: rate(144), given: true, about: "about a day" },
  ].filter((level) => !level.given || level.rate !== null);
  const hint = (level) => (level.rate === null ? level.about : `${level.rate} sat/vB, ${level.about}`);
  return [...levels.map((level) => ({ ...level, hint: hint(level) })), { value: "own", name: "My own", rate: null, given: true, hint: "in sat/vB" }];
}
