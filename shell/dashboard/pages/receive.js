// Where to be paid: address, QR code and descriptor of each wallet, for any amount or a given one.

import { amountField } from "../js/amount.js";
import { get, paths, picture } from "../js/api.js";
import { choices } from "../js/choices.js";
import { fill, h } from "../js/dom.js";
import { field } from "../js/field.js";
import { btc } from "../js/format.js";
import { address, copyButton, facts, pageHead, problemBox, sheet } from "../js/parts.js";
import { walletName } from "../js/words.js";
import { watchWallets } from "../js/wallets.js";

export const receive = { title: "Receive", show };

const SCRIPT = { p2tr: "Taproot (P2TR)", p2wpkh: "native SegWit (P2WPKH)" };
/** After the last key: a QR code for every letter of a label would only flicker. */
const TYPING_MS = 250;
const LONGEST_LABEL = 120;

function show(root) {
  const shown = h("div", { class: "stack seven" });
  const form = h("div", { class: "stack five" });
  fill(root, pageHead("Receive"), h("div", { class: "grid" }, shown, form));
  let latest = 0;
  const present = async (wanted) => {
    latest += 1;
    const mine = latest;
    try {
      const { data } = await get(paths.address(wanted));
      if (mine === latest) fill(shown, addressSheet(data, wanted));
    } catch (error) {
      if (mine === latest) fill(shown, problemBox(error));
    }
  };
  return watchWallets((types) => {
    if (types.length === 0) {
      fill(form);
      fill(shown, sheet("No address yet", {}, h("p", { class: "empty" }, "The cluster has no key. Start key generation with the command line: ", h("code", {}, "mpc-wallet-cli dkg start --wait"), ".")));
      return;
    }
    fill(form, wantedSheet(types, present), advice());
    present({ type: types[0] });
  });
}

function wantedSheet(types, present) {
  const amount = amountField("Amount, if it is to be given", { placeholder: "any" });
  const label = field("Label", { maxlength: "60" }, { hint: "The payer's wallet shows it. It goes into the QR code and is kept nowhere." });
  let type = types[0];
  let timer = null;
  const refresh = () => {
    const given = amount.input.value.trim() === "" ? {} : amount.read();
    const text = label.input.value.trim();
    amount.complain(given.error ?? "");
    label.complain(new TextEncoder().encode(text).length > LONGEST_LABEL ? "The label is too long." : "");
    if (!amount.isWrong() && !label.isWrong()) present({ type, amount_sats: given.sats, label: text });
  };
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, TYPING_MS);
  };
  for (const part of [amount, label]) part.input.addEventListener("input", soon);
  amount.unit.addEventListener("change", refresh);
  const options = types.map((value) => ({ value, name: walletName(value), hint: value === "taproot" ? "P2TR" : "P2WPKH" }));
  return sheet("What to ask for", {}, h("div", { class: "form" },
    choices("Wallet", options, type, (chosen) => { type = chosen; refresh(); }), amount.element, label.element));
}

function addressSheet(data, wanted) {
  const given = wanted.amount_sats ? `${btc(wanted.amount_sats)} BTC to ` : "";
  return h("section", { class: "sheet stack", "aria-label": "Address" },
    h("div", { class: "qr" }, qrCode(wanted, `QR code: ${given}${data.address}`)),
    h("div", {}, h("h2", {}, `${SCRIPT[data.script_type] ?? data.script_type} address on ${data.network}`),
      address(data.address),
      h("div", { class: "bar" }, copyButton(data.address, "address", "Copy address"), copyButton(data.uri, "payment link", "Copy payment link"))),
    facts([
      ["Payment link", h("span", { class: "mono", id: "uri" }, data.uri)],
      ["Descriptor", h("span", { class: "copied" }, h("span", { class: "mono" }, data.descriptor), copyButton(data.descriptor, "descriptor"))],
      ["Key", `${data.key}, public key `, h("span", { class: "mono" }, data.public_key)],
    ]));
}

function qrCode(wanted, alt) {
  const path = paths.qr(wanted);
  const image = h("img", { alt, width: 256, height: 256, "data-path": path, onload: () => URL.revokeObjectURL(image.src) });
  picture(path).then((address) => { image.src = address; }, () => image.replaceWith(h("p", { class: "note" }, "The QR code did not load.")));
  return image;
}

function advice() {
  return sheet("Before large amounts", {}, h("ul", { class: "note tight" },
    h("li", {}, "Compare this address with that of another node: open its dashboard, or ask it with ", h("code", {}, "mpc-wallet-cli wallet address"), ". One machine can lie to you, five cannot easily."),
    h("li", {}, "Each wallet has one address. Payments to it can be linked by anybody who knows it."),
    h("li", {}, "The descriptor lets an auditor's watch-only wallet follow the money without any key.")));
}
