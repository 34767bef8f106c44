// The API's names in plain words.

import { plural } from "./format.js";

/** The way of a payment that goes well. */
export const WAY = ["pending", "voting", "threshold_reached", "approved", "signing", "signed", "broadcasting", "confirmed"];
const ENDS = ["confirmed", "rejected", "failed", "aborted_byzantine"];
export const STATES = [...WAY, "rejected", "failed", "aborted_byzantine"];

const STATE = {
  pending: ["Pending", "move", "Proposed: coins are chosen and held, the transaction is built."],
  voting: ["Voting", "move", "Every node checks the transaction by itself and votes."],
  threshold_reached: ["Approved by vote", "move", "Enough nodes have approved exactly this transaction."],
  approved: ["Ready to sign", "move", "The last check has passed; signers are chosen."],
  signing: ["Signing", "move", "The nodes compute the signature together."],
  signed: ["Signed", "move", "The signed transaction is on disk and goes out next."],
  broadcasting: ["Sent", "move", "Handed to the Bitcoin network; waiting for blocks."],
  confirmed: ["Confirmed", "good", "In the chain, deep enough."],
  rejected: ["Rejected", "bad", "Refused; its coins are free again."],
  failed: ["Failed", "bad", "It will never confirm."],
  aborted_byzantine: ["Aborted", "bad", "A node was proven to misbehave, and the payment could not be finished."],
};

export const stateName = (state) => STATE[state]?.[0] ?? state;
export const stateTone = (state) => STATE[state]?.[1] ?? "";
export const stateMeaning = (state) => STATE[state]?.[2] ?? "";
export const isEnd = (state) => ENDS.includes(state);

const SUB = {
  awaiting_votes: "Votes are coming in.",
  awaiting_approval: "Operators must approve it before the nodes vote.",
  waiting_for_quorum: "Too few nodes are reachable. Nothing is lost; it goes on by itself when one returns.",
  abandoning: "The vote is over without enough approvals; nodes are promising never to sign.",
  choosing_signers: "The coordinator is choosing who signs.",
  retrying_other_subset: "A signing attempt did not finish; other signers try.",
  waiting_for_presignatures: "No presignatures are left for any group of signers; it goes on when there are.",
  frozen: "An operator has frozen the cluster. It goes on when enough nodes lift that, unless it expires before.",
  not_yet_sent: "Not accepted by the network yet.",
  outcome_unknown: "The chain backend has not answered clearly. The transaction may be out already; it is asked again. Do not pay a second time.",
  in_mempool: "In the mempool, waiting for a block.",
  fee_too_low: "The mempool wants a higher fee at the moment; it is tried again at every look.",
  dropped_rebroadcasting: "It vanished from the mempool and was sent again.",
  confirming: "In a block; waiting for more on top.",
  reorged_out: "The chain was reorganised and its block left; it waits for another.",
  conflict_seen: "Another transaction spends one of its coins and is not in a block yet.",
  being_replaced: "Another transaction for the same payment, with a higher fee, has been sent in its place. Either may still confirm, never both.",
  replaced: "Another transaction for the same payment has confirmed instead.",
  expired: "Not enough approvals in time.",
  input_spent: "One of its coins was spent by another, confirmed transaction.",
  abandoned: "Enough nodes promised never to sign it.",
};

/** `sub_status` as a sentence; unknown ones are shown as they are, because the vocabulary may grow. What only repeats
    the state is left out: a vote that is over waits for nobody, and confirmed is settled. */
export function subStatus(name, state) {
  if (!name || name === "settled" || (name === "awaiting_votes" && state !== "voting")) return "";
  if (SUB[name]) return SUB[name];
  const [kind, ...rest] = name.split(":");
  const reason = rest.join(":").trim();
  const attempt = /^attempt_(\d+)(_without_presignatures)?$/.exec(name);
  if (attempt) {
    const first = attempt[1] === "1" ? "First signing attempt" : `Signing attempt ${attempt[1]}`;
    return attempt[2] ? `${first}; presignatures are made for it, which takes seconds.` : `${first}.`;
  }
  if (kind === "votes") return `Too many nodes refused: ${reason}.`;
  if (kind === "broadcast_rejected") return `This node's chain backend refuses it (${reason}); others may take it.`;
  return name.replaceAll("_", " ");
}

const VIOLATION = {
  double_vote: ["Double vote", "It signed two different votes in one round. The proof is two signatures that cannot both be honest."],
  invalid_signature: ["Invalid signature", "It sent something whose signature does not verify."],
  timeout: ["Timeout", "It stayed silent where an answer was due. Alone this proves nothing; a slow disk does it too."],
  protocol_violation: ["Protocol violation", "It broke the rules of the signing protocol or sent malformed or replayed traffic."],
};

export const violationName = (type) => VIOLATION[type]?.[0] ?? type.replaceAll("_", " ");
export const violationMeaning = (type) => VIOLATION[type]?.[1] ?? "";

const NODE = {
  online: ["Online", "good", "Heartbeats arrive."],
  offline: ["Offline", "bad", "No heartbeat for too long."],
  degraded: ["Degraded", "warn", "It answers, but its policy or its view of the chain differs, or it takes no part yet."],
  banned: ["Banned", "bad", "Shut out for what it did."],
};

export const nodeStatusName = (status) => NODE[status]?.[0] ?? status;
export const nodeStatusTone = (status) => NODE[status]?.[1] ?? "";
export const nodeStatusMeaning = (status) => NODE[status]?.[2] ?? "";

export const walletName = (type) => ({ taproot: "Taproot", segwit: "SegWit" })[type] ?? type;

/** How the cluster is, in one sentence, with the tone it is said in. */
export function health(status) {
  const { online_nodes: online, total_nodes: total, threshold: needed } = status;
  const count = `${online} of ${total} nodes up, ${needed} needed`;
  if (status.standing.name !== "sound") return { tone: "warn", text: standing(status.standing) };
  if (status.frozen_because === "operator") return { tone: "bad", text: freeze(status.freezes[0], status.freezes.length) };
  if (status.frozen) return { tone: "bad", text: `${count}: cannot sign. Payments wait until ${plural(needed - online, "more node")} ${needed - online === 1 ? "is" : "are"} back.` };
  if (status.keys.length === 0) return { tone: "warn", text: `${count}, but the cluster has no key yet: start key generation with the command line (dkg start).` };
  if (status.chain_stale) return { tone: "bad", text: `${count}, but this node's view of the chain is too old to approve payments.` };
  if (online === needed && online < total) return { tone: "warn", text: `${count}: can sign, with none to spare.` };
  return { tone: "good", text: `${count}: can sign.` };
}

function freeze(first, count) {
  const more = count > 1 ? ` ${plural(count - 1, "other freeze")} must be lifted too.` : "";
  return `Frozen by ${first.operator} at node ${first.node_id}: ${first.reason}. Nothing is signed until ${first.lifts_needed} nodes lift it (${first.lifted_by.length} have).${more}`;
}

function standing(standing) {
  const told = `${standing.peers_told} of ${standing.peers_needed} peers have answered`;
  if (standing.name === "confirming") return `This node has just started and asks its peers what they have seen of it (${told}).`;
  return `This node's records were replaced by older ones. It takes no part until its peers have told it what it missed (${told}).`;
}
