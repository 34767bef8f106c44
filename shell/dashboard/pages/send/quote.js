// What a payment costs: the node says it, by choosing coins for it without making it.

import { Problem, paths, post } from "../../js/api.js";
import { fill, h } from "../../js/dom.js";
import { percent, plural, sats } from "../../js/format.js";
import { amount, facts } from "../../js/parts.js";

/** How long nothing is written before the node is asked, so that it is not for every letter. */
const PAUSE_MS = 400;

/**
 * Shows what a wanted payment costs, and `hint` while there is nothing to show. What is shown stays until the next answer is there;
 * of answers that overtake each other the one to the last question counts. `told` gets each preview that is shown, or null.
 */
export function quotePart(hint, told = () => {}) {
  const element = h("div", { class: "quote", "aria-live": "polite" });
  let question = null;
  let shown = {};
  let pause = null;
  const show = (body, answer) => {
    shown = { body: JSON.stringify(body), ...answer };
    element.removeAttribute("aria-busy");
    fill(element, outcome(answer, hint));
    told(answer.preview ?? null);
  };
  /** Asks what `body` would cost; null if there is nothing to ask yet. `about` is what the answer depends on besides. */
  const want = (body, about = null) => {
    const asked = JSON.stringify([body, about]);
    if (asked === question) return;
    question = asked;
    clearTimeout(pause);
    pause = setTimeout(async () => {
      if (body) element.setAttribute("aria-busy", "true");
      const answer = body ? await ask(body) : {};
      if (asked !== question) return;
      show(body, answer);
      if (passes(answer.error)) question = null;
    }, PAUSE_MS);
  };
  /** The preview of exactly this, if it is what is shown. */
  const known = (body) => (shown.body === JSON.stringify(body) ? shown.preview : undefined);
  const end = () => {
    clearTimeout(pause);
    question = null;
  };
  fill(element, outcome({}, hint));
  return { element, show, want, known, end };
}

async function ask(body) {
  try {
    return { preview: await post(paths.preview, body) };
  } catch (error) {
    return { error };
  }
}

/** Whether the same question may get another answer soon. */
function passes(error) {
  return error && !(error instanceof Problem && error.status < 500 && error.status !== 429);
}

function outcome({ preview, error }, hint) {
  if (preview) return cost(preview);
  if (error instanceof Problem) return h("p", { class: "wrong" }, `The node would refuse it: ${words(error)}`);
  if (error) return h("p", { class: "hint" }, `What it costs is not known. ${error.message}`);
  return h("p", { class: "hint" }, hint);
}

/** The node's own, of every field that it blames. */
function words(problem) {
  return problem.errors.length > 1 ? problem.errors.map((error) => error.message).join("; ") : problem.message;
}

function cost(preview) {
  const { amount_sats: paid, fee_sats: fee, change_sats: change, inputs } = preview;
  const spent = inputs.reduce((sum, input) => sum + input.amount_sats, 0);
  return facts([
    ["Fee", `${sats(fee)}, ${percent(fee, paid)} of the amount: ${preview.fee_rate_sat_vb} sat/vB, ${preview.vsize} vB`],
    ["Total", amount(paid + fee)],
    ["Inputs", `${plural(inputs.length, "coin")}, `, amount(spent)],
    ["Change", change > 0 ? [amount(change), " back to the wallet"] : "None"],
  ]);
}
