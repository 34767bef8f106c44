// A higher fee for a payment that no block takes.

import { paths, post } from "../../js/api.js";
import { deed } from "../../js/act.js";
import { sats } from "../../js/format.js";
import { sheet } from "../../js/parts.js";

const RATE = /^\d{1,6}(\.\d{1,3})?$/;

/** Whether the fee may be raised; the sheet is drawn anew only when this has changed, never under somebody's hands. */
export const mayRaise = (data) => data.state === "broadcasting" && !data.block && !data.replaced_by;

export function feeSheet(data) {
  return sheet("No block takes it?", {},
    deed({ name: "Raise the fee", key: "bump", words: "Fee rate in sat/vB", tone: "main", act: (rate) => raise(data.txid, rate),
      means: `It pays ${sats(data.fee_sats)}${data.fee_rate_sat_vb ? ` (${data.fee_rate_sat_vb} sat/vB)` : ""} now. Another transaction for the same payment is proposed, and the nodes vote on it. The higher fee comes out of the change; recipient and amount stay. Either of the two may still confirm, never both. Without a rate the node estimates one.` }));
}

async function raise(txid, rate) {
  if (rate && !RATE.test(rate)) throw new Error("Write a number of sat/vB like 12 or 7.5, with three decimals at most.");
  const replacement = await post(`${paths.transaction(txid)}/bump`, rate ? { fee_rate: Number(rate) } : {});
  location.hash = `#/tx/${replacement.txid}`;
}
