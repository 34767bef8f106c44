// Every payment this node knows: to be searched, filtered, and taken along.

import { get, pages, paths, query } from "../js/api.js";
import { csv } from "../js/csv.js";
import { announce, fill, h, id } from "../js/dom.js";
import { btc, grouped, plural } from "../js/format.js";
import { watch } from "../js/live.js";
import { amount, download, moment, pageHead, problemBox, stateMark, transactionLink } from "../js/parts.js";
import { STATES, isEnd, stateName, subStatus, walletName } from "../js/words.js";

export const history = { title: "History", show };

const PAGE = 50;
/** While somebody types. */
const TYPING_MS = 250;

function show(root) {
  const search = h("input", { type: "search", id: id("search"), placeholder: "Address, txid, reference or amount", autocomplete: "off" });
  const state = select("State", [["", "All states"], ...STATES.map((name) => [name, stateName(name)])]);
  const type = select("Wallet", [["", "Both wallets"], ["taproot", "Taproot"], ["segwit", "SegWit"]]);
  const save = h("button", { type: "button", class: "button", onclick: () => exportAll() }, "Export CSV");
  const found = h("p", { class: "note", role: "status" });
  const body = h("tbody");
  const table = h("table", { class: "folds lean" }, h("thead", {}, h("tr", {},
    ["Created", "Transaction", "To", "Wallet", "State"].map((name) => h("th", { scope: "col" }, name)),
    ["Amount", "Fee (sat)"].map((name) => h("th", { scope: "col", class: "number" }, name)))), body);
  const more = h("button", { type: "button", class: "button", onclick: () => load(false) }, "Load older ones");
  const trouble = h("div");
  fill(root, pageHead("History"), h("section", { class: "sheet stack" },
    h("div", { class: "bar filters" }, h("div", { class: "field wide" }, h("label", { for: search.id }, "Search"), search), state.element, type.element, save),
    found, trouble, table, h("div", {}, more)));

  let items = [];
  let cursor = null;
  let round = 0;
  const wanted = () => ({ state: state.input.value, type: type.input.value });
  const text = () => search.value.trim().toLowerCase().replaceAll(",", "");

  const draw = () => {
    const shown = items.filter((item) => matches(item, text()));
    fill(body, shown.map(row));
    table.hidden = shown.length === 0;
    more.hidden = cursor === null;
    found.textContent = shown.length === 0
      ? (cursor ? "Nothing among the payments loaded so far." : "No payments like this.")
      : `${plural(shown.length, "payment")}${text() || cursor === null ? "" : " so far"}, ${btc(shown.filter((item) => item.state === "confirmed").reduce((sum, item) => sum + item.amount_sats, 0))} BTC of it confirmed.`;
  };
  /** The next page, or the first; a search wants them all. */
  const load = async (afresh) => {
    round += afresh ? 1 : 0;
    const mine = round;
    more.disabled = true;
    try {
      do {
        const limit = text() ? 200 : PAGE;
        const { data } = await get(query(paths.transactions, { ...wanted(), limit, cursor: afresh ? null : cursor }));
        if (mine !== round) return;
        items = afresh ? data.items : [...items, ...data.items];
        cursor = data.next_cursor;
        afresh = false;
        fill(trouble);
        draw();
      } while (text() && cursor);
    } catch (error) {
      if (mine === round) fill(trouble, problemBox(error));
    } finally {
      if (mine === round) more.disabled = false;
    }
  };
  /** What is new or has moved on, among the newest. */
  const merge = (fresh) => {
    const matching = fresh.filter((item) => (!state.input.value || item.state === state.input.value) && (!type.input.value || item.type === type.input.value));
    const known = new Map(fresh.map((item) => [item.txid, item]));
    const rest = items.filter((item) => !known.has(item.txid));
    items = [...matching, ...rest];
    draw();
  };
  const exportAll = async () => {
    save.disabled = true;
    try {
      const rows = [];
      for await (const page of pages(paths.transactions, wanted(), Infinity)) {
        rows.push(...page.filter((item) => matches(item, text())));
        save.textContent = `${grouped(rows.length)} read`;
      }
      download(`payments-${new Date().toISOString().slice(0, 10)}.csv`, "text/csv;charset=utf-8", csv(COLUMNS, rows));
      announce(`${plural(rows.length, "payment")} exported`);
    } catch (error) {
      fill(trouble, problemBox(error));
    } finally {
      save.disabled = false;
      save.textContent = "Export CSV";
    }
  };

  let timer = null;
  search.addEventListener("input", () => { draw(); clearTimeout(timer); timer = setTimeout(() => text() && cursor && load(false), TYPING_MS); });
  for (const one of [state, type]) one.input.addEventListener("change", () => load(true));
  load(true);
  const end = watch(paths.latest, ({ data }) => data && merge(data.items));
  return () => { round += 1; clearTimeout(timer); end(); };
}

function matches(item, text) {
  if (!text) return true;
  return [item.txid, item.recipient, item.metadata ?? "", String(item.amount_sats), btc(item.amount_sats).replaceAll(",", "")]
    .some((value) => value.toLowerCase().includes(text));
}

function row(item) {
  return h("tr", { class: "way", "data-txid": item.txid },
    h("td", { "data-name": "Created", class: "nowrap c-when" }, moment(item.created_at)),
    h("td", { "data-name": "Transaction", class: "c-what" }, transactionLink(item.txid)),
    h("td", { "data-name": "To", class: "c-to" }, h("span", { class: "to" }, h("span", { class: "mono", title: item.recipient }, shortAddress(item.recipient)), item.metadata && h("small", { class: "soft block breakable" }, item.metadata))),
    h("td", { "data-name": "Wallet", class: "c-wallet" }, walletName(item.type)),
    h("td", { "data-name": "State", class: "c-state" }, h("span", {}, stateMark(item.state), item.state !== "confirmed" && (isEnd(item.state) || item.state === "broadcasting") && h("small", { class: "soft block" }, subStatus(item.sub_status, item.state)))),
    h("td", { "data-name": "Amount", class: "number c-much" }, amount(item.amount_sats)),
    h("td", { "data-name": "Fee (sat)", class: "number c-fee" }, grouped(item.fee_sats)));
}

function shortAddress(text) {
  return text.length > 24 ? `${text.slice(0, 10)}…${text.slice(-8)}` : text;
}

function select(label, options) {
  const input = h("select", { id: id("select") }, options.map(([value, name]) => h("option", { value }, name)));
  return { input, element: h("div", { class: "field" }, h("label", { for: input.id }, label), input) };
}

const COLUMNS = [
  ["created_at", (item) => item.created_at],
  ["txid", (item) => item.txid],
  ["state", (item) => item.state],
  ["sub_status", (item) => item.sub_status],
  ["wallet", (item) => item.type],
  ["recipient", (item) => item.recipient],
  ["amount_sats", (item) => item.amount_sats],
  ["amount_btc", (item) => btc(item.amount_sats).replaceAll(",", "")],
  ["fee_sats", (item) => item.fee_sats],
  ["confirmations", (item) => item.confirmations],
  ["block_height", (item) => item.block?.height],
  ["proposed_by", (item) => `node-${item.proposed_by}`],
  ["reference", (item) => item.metadata],
  ["updated_at", (item) => item.updated_at],
];
