// Numbers, times and names as people read them.

const SATS_PER_BTC = 100_000_000n;
const integer = new Intl.NumberFormat("en-US");
const moment = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** 1234567 → "1,234,567" */
export function grouped(number) {
  return integer.format(number);
}

/** Satoshis → "0.00050000": all eight digits, because a missing one is a factor of ten. */
export function btc(sats) {
  const whole = BigInt(sats);
  const sign = whole < 0n ? "-" : "";
  const size = whole < 0n ? -whole : whole;
  return `${sign}${integer.format(size / SATS_PER_BTC)}.${String(size % SATS_PER_BTC).padStart(8, "0")}`;
}

export function sats(amount) {
  return `${grouped(amount)} sat`;
}

/** A share in percent, with as many digits as it takes not to say zero. */
export function percent(part, whole) {
  if (whole <= 0) return "–";
  const share = (part / whole) * 100;
  if (share > 0 && share < 0.01) return "under 0.01 %";
  return `${share.toFixed(share < 1 ? 2 : share < 10 ? 1 : 0)} %`;
}

/** What was typed, in `unit` "btc" or "sat", → satoshis, or a sentence why not. */
export function parseAmount(text, unit) {
  const bare = text.trim().replace(/[\s_']/g, "");
  if (bare === "") return { error: "Say how much." };
  if (/,/.test(bare)) return { error: "Leave commas out: write 1234.5, with a point for the fraction." };
  if (unit === "sat") {
    if (!/^\d+$/.test(bare)) return { error: "Satoshis are whole numbers. To write a fraction of a bitcoin, switch the unit to BTC." };
    return bounded(BigInt(bare));
  }
  const parts = /^(\d*)(?:\.(\d*))?$/.exec(bare);
  if (!parts || bare === ".") return { error: "Write a number like 0.0005." };
  if ((parts[2] ?? "").length > 8) return { error: "A bitcoin has eight decimals, no more." };
  return bounded(BigInt(parts[1] || "0") * SATS_PER_BTC + BigInt((parts[2] ?? "").padEnd(8, "0")));
}

function bounded(amount) {
  if (amount <= 0n) return { error: "The amount must be at least 1 satoshi." };
  if (amount > 21_000_000n * SATS_PER_BTC) return { error: "More than all bitcoin that can ever exist." };
  return { sats: Number(amount) };
}

/** 64 digits → its two ends. */
export function short(hash, ends = 8) {
  return hash.length > 2 * ends + 1 ? `${hash.slice(0, ends)}…${hash.slice(-ends)}` : hash;
}

export function when(rfc3339) {
  return moment.format(new Date(rfc3339));
}

/** Milliseconds → "340 ms", "4.2 s", "3 min 5 s", "2 h 10 min", "3 d 4 h" */
export function span(ms) {
  const total = Math.max(0, ms);
  if (total < 1_000) return `${Math.round(total)} ms`;
  if (total < 10_000) return `${(total / 1_000).toFixed(1)} s`;
  const s = Math.round(total / 1_000);
  if (s < 60) return `${s} s`;
  const pair = (big, small, per, units) => (small % per ? `${big} ${units[0]} ${small % per} ${units[1]}` : `${big} ${units[0]}`);
  if (s < 3_600) return pair(Math.floor(s / 60), s, 60, ["min", "s"]);
  if (s < 86_400) return pair(Math.floor(s / 3_600), Math.floor(s / 60), 60, ["h", "min"]);
  return pair(Math.floor(s / 86_400), Math.floor(s / 3_600), 24, ["d", "h"]);
}

/** Milliseconds since then → "4 min ago"; before then → "in 4 min". In one unit. */
export function ago(ms) {
  const s = Math.round(Math.abs(ms) / 1_000);
  if (s < 2) return "just now";
  const text = s < 60 ? `${s} s` : s < 3_600 ? `${Math.floor(s / 60)} min` : s < 86_400 ? `${Math.floor(s / 3_600)} h` : `${Math.floor(s / 86_400)} d`;
  return ms < 0 ? `in ${text}` : `${text} ago`;
}

export function plural(count, one, many = `${one}s`) {
  return `${grouped(count)} ${count === 1 ? one : many}`;
}
