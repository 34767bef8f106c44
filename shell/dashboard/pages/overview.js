// How much there is, what is moving, and whether the cluster can sign.

import { paths } from "../js/api.js";
import { stockChart, wayDots, wholeBar } from "../js/charts.js";
import { fill, h } from "../js/dom.js";
import { btc, grouped, plural, sats } from "../js/format.js";
import { watch } from "../js/live.js";
import { amount, moment, pageHead, sheet, stateMark, transactionLink } from "../js/parts.js";
import { WAY, health, isEnd, subStatus, walletName } from "../js/words.js";
import { watchBalances, watchWallets } from "../js/wallets.js";

export const overview = { title: "Overview", show };

function show(root) {
  const sentence = h("div");
  const money = h("div");
  const open = h("div");
  const stock = h("div");
  const latest = h("div", { class: "last" });
  fill(root, pageHead("Overview"), h("div", { class: "stack" }, sentence,
    h("div", { class: "grid" },
      h("div", { class: "rest stack flat" }, money, latest),
      h("div", { class: "third stack flat" }, open, stock))));
  let status = null;
  let notes = [];
  const tell = () => status && fill(sentence, clusterSentence(status, notes));
  let endStock = () => {};
  const ends = [
    watch(paths.status, ({ data }) => { status = data ?? status; tell(); }),
    watch(paths.health, ({ data }) => { notes = data?.degraded ?? notes; tell(); }),
    watchBalances((balances) => fill(money, balances.size ? moneySheet(balances) : noMoney())),
    watch(paths.open, ({ data }) => data && fill(open, openSheet(data.items))),
    watch(paths.latest, ({ data }) => data && fill(latest, latestSheet(data.items))),
    watchWallets((types) => {
      endStock();
      endStock = () => {};
      if (types.includes("segwit")) endStock = watch(paths.presignatures, ({ data }) => data && fill(stock, stockSheet(data)));
    }),
  ];
  return () => { endStock(); for (const end of ends) end(); };
}

function clusterSentence(status, notes) {
  const { tone, text } = health(status);
  const worst = tone === "good" && notes.length > 0 ? "warn" : tone;
  const tip = status.chain ? `Block ${grouped(status.chain.height)}` : "No block seen yet";
  return h("section", { class: `sentence ${worst}`, "aria-label": "Cluster health" },
    h("div", {}, h("b", { id: "health" }, text), " ",
      h("span", { class: "soft" }, status.coordinator ? `Node ${status.coordinator} coordinates. ` : "No coordinator at the moment. ", tip, "."),
      notes.length > 0 && h("ul", {}, notes.map((note) => h("li", {}, note, " Payments go on.")))));
}

const PARTS = [
  { name: "Spendable", part: 1, value: (balance) => balance.spendable_sats },
  { name: "Held by open payments", part: 2, value: (balance) => balance.locked_sats },
  { name: "Waiting for a block", part: 3, value: (balance) => Math.max(0, balance.total_balance_sats - balance.spendable_sats - balance.locked_sats) },
];

function moneySheet(balances) {
  const all = [...balances.values()];
  const total = all.reduce((sum, balance) => sum + balance.total_balance_sats, 0);
  const parts = PARTS.map((part) => ({ ...part, value: all.reduce((sum, balance) => sum + part.value(balance), 0) }));
  const spoken = parts.map((part) => `${part.name} ${sats(part.value)}`).join(", ");
  return h("section", { class: "sheet", "aria-labelledby": "balance" },
    h("div", { class: "title" }, h("h2", { id: "balance" }, "Balance"),
      h("span", { class: "soft" }, plural(all.reduce((sum, one) => sum + one.utxo_count, 0), "coin"))),
    h("p", { class: "headline" }, amount(total)),
    h("p", { class: "soft" }, sats(total)),
    all.flatMap((balance) => balance.lost_coins).map(lostCoin),
    h("div", { class: "legend" }, wholeBar(spoken, parts),
      parts.map((part) => h("span", { class: `key k${part.part}` }, part.name, " ", h("b", {}, btc(part.value))))),
    h("table", { class: "folds balances" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Wallet"),
        COLUMNS.map(([name]) => h("th", { scope: "col", class: "number" }, name)))),
      h("tbody", {}, [...balances].map(([type, balance]) => walletRow(type, balance)))),
    all.some((balance) => balance.stale) && h("p", { class: "note" }, "The chain has not been heard of for too long: these numbers may be old."));
}

function lostCoin({ coin, amount_sats, spent_by, at }) {
  return h("div", { class: "sentence bad", role: "alert", "data-lost": coin }, h("div", { class: "breakable" },
    h("b", {}, amount(amount_sats), " gone. "),
    spent_by
      ? ["Somebody else has the key: this cluster has not signed ", h("span", { class: "mono" }, spent_by), ", which spends it. ",
        h("a", { href: "#/cluster", "data-key": `lost-${coin}` }, "To the emergency stop"), ". "]
      : "The transaction that paid it left the chain. ",
    "Noticed ", moment(at), "."));
}

const COLUMNS = [
  ["Confirmed", "confirmed_balance_sats"],
  ["Unconfirmed", "unconfirmed_balance_sats"],
  ["Locked", "locked_sats"],
  ["Spendable", "spendable_sats"],
];

function walletRow(type, balance) {
  return h("tr", { "data-wallet": type },
    h("th", { scope: "row" }, walletName(type)),
    COLUMNS.map(([name, field]) => h("td", { class: "number", "data-name": name, "data-field": field },
      h("span", { class: "two" }, amount(balance[field]), h("small", { class: "soft" }, sats(balance[field]))))));
}

function noMoney() {
  return sheet("Balance", {}, h("p", { class: "empty" }, "There is no wallet yet. Key generation makes one: ", h("code", {}, "mpc-wallet-cli dkg start --wait"), "."));
}

function openSheet(items) {
  return sheet("Open payments", { aside: h("a", { href: "#/send", "data-key": "send" }, "Send") },
    items.length === 0
      ? h("p", { class: "empty" }, "None. Everything has come to rest.")
      : h("ul", { class: "list open" }, items.map((item) => h("li", {},
        h("div", { class: "title" }, transactionLink(item.txid, "open-"), h("b", {}, amount(item.amount_sats))),
        h("div", { class: "title" }, stateMark(item.state), wayDots(WAY, item.state, false)),
        h("p", { class: "note" }, subStatus(item.sub_status, item.state))))));
}

function latestSheet(items) {
  return sheet("Latest payments", { aside: h("a", { href: "#/history", "data-key": "all" }, "All") },
    items.length === 0
      ? h("p", { class: "empty" }, "Nothing was paid yet.")
      : h("table", { class: "folds lean latest" },
        h("thead", {}, h("tr", {}, ["Transaction", "State", "Created"].map((name) => h("th", { scope: "col" }, name)), h("th", { scope: "col", class: "number" }, "Amount"))),
        h("tbody", {}, items.map((item) => h("tr", { class: "way" },
          h("td", { "data-name": "Transaction", class: "c-what" }, transactionLink(item.txid, "latest-")),
          h("td", { "data-name": "State", class: "c-state" }, stateMark(item.state), isEnd(item.state) && item.state !== "confirmed" && h("small", { class: "soft block" }, subStatus(item.sub_status, item.state))),
          h("td", { "data-name": "Created", class: "c-when" }, moment(item.created_at)),
          h("td", { class: "number c-much", "data-name": "Amount" }, amount(item.amount_sats)))))));
}

function stockSheet(pool) {
  const busy = pool.making ? "One is being made now." : "None is being made at the moment.";
  return sheet("Presignatures", { aside: `${pool.available} usable` },
    h("p", { class: "note" }, "Made ahead, so that a SegWit payment is signed at once. One signs one coin, once. ", busy),
    pool.groups.length ? stockChart(pool) : h("p", { class: "empty" }, "No group of signers has any yet."),
    h("p", { class: "note" }, `Refilled below ${pool.low}, up to ${pool.high} a group. Used by this node so far: ${grouped(pool.used)}.`,
      pool.ordered > 0 && ` Ordered and not made yet: ${grouped(pool.ordered)}.`));
}
