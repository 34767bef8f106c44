// Where to be paid: address, QR code and descriptor of each wallet, for any amount or a given one.

import { get, paths } from "../js/api.js";
import { fill, h, id } from "../js/dom.js";
import { btc, parseAmount } from "../js/format.js";
import { address, copyButton, facts, pageHead, problemBox, sheet } from "../js/parts.js";
import { walletName } from "../js/words.js";
import { watchWallets } from "../js/wallets.js";
import { choices } from "../js/choices.js";

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
  const amount = h("input", { type: "text", id: id("amount"), inputmode: "decimal", autocomplete: "off", placeholder: "any" });
  const unit = h("select", { "aria-label": "Unit" }, h("option", { value: "btc" }, "BTC"), h("option", { value: "sat" }, "sat"));
  const label = h("input", { type: "text", id: id("label"), autocomplete: "off", maxlength: "60" });
  const wrong = h("p", { class: "wrong", id: id("wrong"), role: "alert" });
  amount.setAttribute("aria-describedby", wrong.id);
  let type = types[0];
  let timer = null;

  const refresh = () => {
    const given = amount.value.trim() === "" ? {} : parseAmount(amount.value, unit.value);
    const long = new TextEncoder().encode(label.value.trim()).length > LONGEST_LABEL;
    amount.setAttribute("aria-invalid", String(Boolean(given.error)));
    wrong.textContent = given.error ?? (long ? "The label is too long." : "");
    if (!given.error && !long) present({ type, amount_sats: given.sats, label: label.value.trim() });
  };
  const soon = () => { clearTimeout(timer); timer = setTimeout(refresh, TYPING_MS); };
  for (const field of [amount, label]) field.addEventListener("input", soon);
  unit.addEventListener("change", refresh);

  const options = types.map((value) => ({ value, name: walletName(value), hint: value === "taproot" ? "bc1p… style" : "bc1q… style" }));
  return sheet("What to ask for", {}, h("div", { class: "form" },
    choices("Wallet", options, type, (chosen) => { type = chosen; refresh(); }),
    h("div", { class: "field" }, h("label", { for: amount.id }, "Amount, if it is to be given"), h("div", { class: "joined" }, amount, unit), wrong),
    h("div", { class: "field" }, h("label", { for: label.id }, "Label"), label,
      h("p", { class: "hint" }, "The payer's wallet shows it. It goes into the QR code and is kept nowhere."))));
}

function addressSheet(data, wanted) {
  const given = wanted.amount_sats ? `${btc(wanted.amount_sats)} BTC to ` : "";
  return h("section", { class: "sheet stack", "aria-label": "Address" },
    h("div", { class: "qr" }, h("img", { src: paths.qr(wanted), alt: `QR code: ${given}${data.address}`, width: 256, height: 256 })),
    h("div", {}, h("h2", {}, `${SCRIPT[data.script_type] ?? data.script_type} address on ${data.network}`),
      address(data.address),
      h("div", { class: "bar" }, copyButton(data.address, "address", "Copy address"), copyButton(data.uri, "payment link", "Copy payment link"))),
    facts([
      ["Payment link", h("span", { class: "mono", id: "uri" }, data.uri)],
      ["Descriptor", h("span", { class: "copied" }, h("span", { class: "mono" }, data.descriptor), copyButton(data.descriptor, "descriptor"))],
      ["Key", `${data.key}, public key `, h("span", { class: "mono" }, data.public_key)],
    ]));
}

function advice() {
  return sheet("Before large amounts", {}, h("ul", { class: "note tight" },
    h("li", {}, "Compare this address with that of another node: open its dashboard, or ask it with ", h("code", {}, "mpc-wallet-cli wallet address"), ". One machine can lie to you, five cannot easily."),
    h("li", {}, "Each wallet has one address. Payments to it can be linked by anybody who knows it."),
    h("li", {}, "The descriptor lets an auditor's watch-only wallet follow the money without any key.")));
}
