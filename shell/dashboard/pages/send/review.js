// The payment once more, in full, before anything happens.

import { fill, h } from "../../js/dom.js";
import { btc, sats } from "../../js/format.js";
import { address, amount, facts as factList } from "../../js/parts.js";
import { warnings } from "../../js/warnings.js";
import { walletName } from "../../js/words.js";
import { bodyOf } from "./form.js";
import { quotePart } from "./quote.js";

/** `preview`: what the node has said of the payment's cost, if it has. It is asked anew, for coins come and go. */
export function reviewSheet(payment, preview, facts, { back, pay }) {
  const { status } = facts;
  const warned = h("div");
  const warn = (told) => {
    const found = warnings({ ...payment, fee: told?.fee_sats ?? null }, facts.own, facts.balances.get(payment.type));
    fill(warned, found.length > 0 && h("ul", { class: "warnings", id: "warnings" }, found.map((text) => h("li", {}, text))));
  };
  const quote = quotePart("The node is asked what it costs.", warn);
  const outcome = h("div", { "aria-live": "assertive" });
  const send = h("button", { class: "button main", type: "button", onclick: pay }, `Send ${btc(payment.sats)} BTC`);
  const change = h("button", { class: "button", type: "button", onclick: back }, "Change");
  const element = h("section", { class: "sheet stack", "aria-labelledby": "review" },
    h("div", { class: "title" }, h("h2", { id: "review", tabindex: "-1" }, `Pay on ${status?.network ?? "this network"}?`),
      h("span", { class: "soft" }, status ? `${status.threshold} of ${status.total_nodes} nodes must approve` : "")),
    h("div", {}, h("p", { class: "headline" }, amount(payment.sats)), h("p", { class: "soft" }, sats(payment.sats))),
    factList([
      ["To", address(payment.recipient), h("p", { class: "note" }, "Compare it with the recipient's by another channel, to the last character.")],
      ["From", `${walletName(payment.type)} wallet`],
      ["Fee rate", rateText(payment)],
      payment.metadata && ["Reference", payment.metadata],
    ]),
    quote.element,
    warned,
    status?.frozen && h("ul", { class: "warnings" }, h("li", {}, status.frozen_because === "operator"
      ? "An operator has frozen the cluster. The payment would be refused."
      : "Too few nodes are up to sign now. The payment would wait or be refused.")),
    outcome,
    h("div", { class: "bar" }, send, change));
  const body = bodyOf(payment);
  quote.show(body, { preview });
  quote.want(body);
  return {
    element,
    end: quote.end,
    sending: () => {
      send.disabled = change.disabled = true;
      send.textContent = "Sending";
      outcome.replaceChildren();
    },
    failed: (error, open) => {
      send.disabled = change.disabled = false;
      send.textContent = open ? "Try again" : `Send ${btc(payment.sats)} BTC`;
      const more = open ? " The payment may have been made. Trying again cannot pay twice: this page posts it under one key. To change it, look at the history first." : "";
      outcome.replaceChildren(h("div", { class: "problem" }, error.message, more, error.requestId && h("small", {}, `Reference ${error.requestId}`)));
    },
  };
}

function rateText(payment) {
  if (payment.rateGiven) return `${payment.level ? `${payment.level}: ` : ""}${payment.rate} sat/vB`;
  return "Standard: the node's estimate when the payment is made";
}
