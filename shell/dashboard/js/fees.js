// Fee rates to choose from, and what a payment will cost about. What it costs exactly, the node says when it has
// chosen the coins.

const INPUT_VB = { taproot: 57.5, segwit: 68 };
const CHANGE_VB = { taproot: 43, segwit: 31 };
const FRAME_VB = 10.5;

/** The estimate for confirmation within `target` blocks: of the greatest target not above it, else of the next. */
function estimate(estimates, target) {
  const known = Object.entries(estimates ?? {}).map(([blocks, rate]) => [Number(blocks), rate]).sort(([a], [b]) => a - b);
  return (known.filter(([blocks]) => blocks <= target).at(-1) ?? known[0])?.[1] ?? null;
}

/** [{value, name, rate}]: `rate` in sat/vB, `null` where the node decides. */
export function feeChoices(chain) {
  const levels = [["next", "Next block", 1], ["hour", "About an hour", 6], ["day", "About a day", 144]];
  const known = levels.map(([value, name, target]) => ({ value, name, rate: estimate(chain?.fee_estimates, target) }));
  return known.filter((level) => level.rate !== null);
}

function outputVb(recipient) {
  const text = recipient.toLowerCase();
  if (/^(bc|tb|bcrt)1/.test(text)) return text.length > 50 && /1[qp]/.test(text) ? 43 : 31;
  return 34;
}

/** Virtual bytes of a payment with `inputs` coins and change. */
export function size(type, recipient, inputs = 1) {
  return Math.ceil(FRAME_VB + inputs * INPUT_VB[type] + CHANGE_VB[type] + outputVb(recipient));
}
