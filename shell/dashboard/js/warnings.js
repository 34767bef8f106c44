// What to think about before paying. None of these stops a payment; the cluster's policy does that.

import { btc, percent, sats } from "./format.js";

const DUST_SATS = 546;
/** Of the amount. */
const HIGH_FEE = 0.02;
/** Of what the wallet can spend. */
const LARGE_SHARE = 0.5;
/** sat/vB; dearer than nearly every day of Bitcoin's history. */
const HIGH_RATE = 500;

/** `payment`: {recipient, sats, rate, fee}, with null for a fee that the node has not said; `own`: the cluster's addresses;
    `balance` of the paying wallet. */
export function warnings(payment, own, balance) {
  const found = [];
  const type = own.get(payment.recipient.toLowerCase());
  if (type) found.push(`This is the cluster's own ${type} address: the money stays here, and only the fee is spent.`);
  if (payment.sats < DUST_SATS) found.push(`${sats(payment.sats)} is dust: spending it later costs more than it is worth. The cluster will probably refuse it.`);
  if (payment.rate !== null && payment.rate > HIGH_RATE) found.push(`${payment.rate} sat/vB is an unusually high fee rate.`);
  if (payment.fee !== null && payment.fee > payment.sats * HIGH_FEE) found.push(`The fee is ${percent(payment.fee, payment.sats)} of the amount.`);
  if (balance) found.push(...shares(payment, balance));
  return found;
}

function shares(payment, balance) {
  const need = payment.sats + (payment.fee ?? 0);
  if (need > balance.spendable_sats) {
    return [`More than can be spent now: ${btc(balance.spendable_sats)} BTC${balance.locked_sats > 0 ? `, with ${btc(balance.locked_sats)} BTC held by open payments` : ""}.`];
  }
  if (payment.sats > balance.spendable_sats * LARGE_SHARE) {
    return [`This is ${percent(payment.sats, balance.spendable_sats)} of what this wallet can spend.`];
  }
  return [];
}
