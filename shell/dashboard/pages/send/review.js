// The payment once more, in full, before anything happens.

import { h } from "../../js/dom.js";
import { btc, percent, sats } from "../../js/format.js";
import { address, amount, facts as factList } from "../../js/parts.js";
import { warnings } from "../../js/warnings.js";
import { walletName } from "../../js/words.js";

export function reviewSheet(payment, facts, { back, pay }) {
  const { status } = facts;
  const found = warnings(payment, facts.own, facts.balances.get(payment.type));
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
      ["Fee", feeText(payment)],
      payment.metadata && ["Reference", payment.metadata],
    ]),
    found.length > 0 && h("ul", { class: "warnings", id: "warnings" }, found.map((text) => h("li", {}, text))),
    status?.frozen && h("ul", { class: "warnings" }, h("li", {}, status.frozen_because === "operator"
      ? "An operator has frozen the cluster. The payment would be refused."
      : "Too few nodes are up to sign now. The payment would wait or be refused.")),
    outcome,
    h("div", { class: "bar" }, send, change));
  return {
    element,
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

function feeText(payment) {
  if (payment.rate === null) return "At the rate that this node estimates. The exact fee stands on the next page.";
  return `${payment.level ? `${payment.level}: ` : ""}${payment.rate} sat/vB, about ${sats(payment.fee)} (${percent(payment.fee, payment.sats)} of the amount) with one coin as input; each further coin adds to it.`;
}
