// What a transaction does, decoded by the node from its bytes.

import { h } from "../../js/dom.js";
import { grouped, percent, sats, short } from "../../js/format.js";
import { amount, copyButton, facts, moment, sheet } from "../../js/parts.js";
import { walletName } from "../../js/words.js";

export function contentSheet(data) {
  const outputs = data.outputs ?? [];
  const inputs = data.inputs ?? [];
  const sum = outputs.reduce((total, output) => total + output.amount_sats, 0) + data.fee_sats;
  return sheet("What it does", {},
    h("div", { class: "flow" },
      h("div", {}, h("h3", {}, `${inputs.length === 1 ? "Spends one coin" : `Spends ${inputs.length} coins`}: ${sats(sum)}`),
        h("ul", { class: "list" }, inputs.map((input) => h("li", { class: "mono", title: input.outpoint }, coin(input.outpoint))))),
      h("div", {}, h("h3", {}, `Pays ${outputs.length === 1 ? "one output" : `${outputs.length} outputs`} and a fee`),
        h("ul", { class: "list" }, outputs.map(output), h("li", { class: "title" }, h("span", { class: "soft" }, "Fee"), amount(data.fee_sats))))),
    raw(data));
}

function output(one) {
  return h("li", {},
    h("div", { class: "title" }, h("b", {}, one.kind === "recipient" ? "Recipient" : "Change"), amount(one.amount_sats)),
    h("p", { class: "mono note breakable" }, one.address));
}

function coin(outpoint) {
  const [txid, index] = outpoint.split(":");
  return `${short(txid, 8)}:${index}`;
}

function raw(data) {
  const hex = data.signed_tx ?? data.unsigned_tx;
  const name = data.signed_tx ? "signed transaction" : "unsigned transaction";
  return h("details", { "data-key": "raw" }, h("summary", {}, `Raw ${name}`), h("pre", {}, hex), h("p", { class: "below" }, copyButton(hex, name)));
}

export function factsSheet(data) {
  const size = data.vsize ? `${grouped(data.vsize)} vB` : null;
  return sheet("Details", {}, facts([
    ["Recipient", h("span", { class: "mono" }, data.recipient)],
    ["Amount", sats(data.amount_sats)],
    ["Fee", `${sats(data.fee_sats)} (${percent(data.fee_sats, data.amount_sats)} of the amount)`],
    data.fee_rate_sat_vb && ["Fee rate", `${data.fee_rate_sat_vb} sat/vB`],
    size && ["Size", size],
    data.metadata && ["Reference", data.metadata],
    ["Wallet", walletName(data.type)],
    ["Proposed by", `node ${data.proposed_by}`],
    ["Created", moment(data.created_at, { full: true })],
    ["Last change", moment(data.updated_at, { full: true })],
    ["Votes until", moment(data.expires_at, { full: true })],
    data.block && ["Block", `${grouped(data.block.height)} · `, h("span", { class: "mono", title: data.block.hash }, short(data.block.hash, 8))],
    data.replaces && ["Replaces", h("a", { href: `#/tx/${data.replaces}`, class: "mono" }, short(data.replaces))],
    data.replaced_by && ["Replaced by", h("a", { href: `#/tx/${data.replaced_by}`, class: "mono" }, short(data.replaced_by))],
    data.presignatures?.length > 0 && ["Presignatures used", `${data.presignatures.length}, by this node`],
    ["Digest voted on", h("span", { class: "mono", title: data.digest }, short(data.digest, 8))],
  ]));
}
