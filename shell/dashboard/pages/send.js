// A payment is written, looked at once more, and posted once.

import { Problem, get, paths, post } from "../js/api.js";
import { fill, h } from "../js/dom.js";
import { forget, keyFor, unanswered } from "../js/draft.js";
import { nudgeMoving, watch } from "../js/live.js";
import { pageHead, sheet } from "../js/parts.js";
import { watchBalances, watchWallets } from "../js/wallets.js";
import { walletName } from "../js/words.js";
import { openNotice } from "./send/notice.js";
import { bodyOf, paymentForm } from "./send/form.js";
import { reviewSheet } from "./send/review.js";

export const send = { title: "Send", show };

/** The answer says how it is; anything else leaves open whether the payment was made. */
const CERTAIN = (error) => error instanceof Problem && error.status < 500 && error.status !== 409;

function show(root) {
  const place = h("div", { class: "stack narrow" });
  const notice = h("div", { class: "narrow" });
  fill(root, pageHead("Send"), h("div", { class: "stack" }, notice, place));
  const remind = () => fill(notice, openNotice(unanswered(), { done, dismiss: () => { forget(); remind(); } }));
  const done = (made) => {
    forget();
    nudgeMoving();
    location.hash = `#/tx/${made.txid}`;
  };
  const facts = { status: null, balances: new Map(), own: new Map() };
  let form = null;
  let reviewed = null;

  const review = (payment, preview) => {
    reviewed?.end();
    const sheet = reviewSheet(payment, preview, facts, { back: () => edit(), pay: () => pay(payment, sheet) });
    reviewed = sheet;
    fill(place, sheet.element);
    fill(notice);
    sheet.element.querySelector("h2").focus();
  };
  const edit = () => {
    fill(place, form.element);
    remind();
    form.focus();
  };
  const pay = async (payment, sheet) => {
    sheet.sending();
    const body = bodyOf(payment);
    try {
      done(await post(paths.transactions, body, keyFor(body)));
    } catch (error) {
      if (CERTAIN(error) && form.blame(error)) {
        forget();
        edit();
        form.blame(error);
      } else {
        if (CERTAIN(error)) forget();
        sheet.failed(error, !CERTAIN(error));
      }
    }
  };

  remind();
  const ends = [
    watch(paths.status, ({ data }) => { facts.status = data ?? facts.status; form?.refresh(); }),
    watchBalances((balances) => { facts.balances = balances; form?.refresh(); }),
    watchWallets((types) => {
      learnOwn(types, facts.own);
      if (types.length === 0) fill(place, nothingToSpend());
      else if (!form) {
        form = paymentForm(types, facts, review);
        fill(place, form.element);
      } else form.wallets(types);
    }),
  ];
  return () => {
    for (const end of ends) end();
    form?.end();
    reviewed?.end();
  };
}

async function learnOwn(types, own) {
  for (const type of types) {
    try {
      const { data } = await get(paths.address({ type }));
      own.set(data.address.toLowerCase(), walletName(type));
    } catch {
      // Only a warning less.
    }
  }
}

function nothingToSpend() {
  return sheet("Nothing to spend", {}, h("p", { class: "empty" }, "The cluster has no key yet, so it has no money. Start key generation with the command line: ", h("code", {}, "mpc-wallet-cli dkg start --wait"), "."));
}
