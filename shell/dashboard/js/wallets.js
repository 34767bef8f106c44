// Watches what belongs to each wallet. A wallet without a key is not asked about.

import { paths } from "./api.js";
import { watch } from "./live.js";

/** Calls back with the types that have a key, in a fixed order, whenever they change. Returns what ends it. */
export function watchWallets(watcher) {
  let known = null;
  return watch(paths.status, ({ data }) => {
    if (!data) return;
    const types = ["taproot", "segwit"].filter((type) => data.keys.some((key) => key.type === type));
    if (types.join() === known) return;
    known = types.join();
    watcher(types, data);
  });
}

/** Calls back with type → balance whenever one changes. Returns what ends it. */
export function watchBalances(watcher) {
  let ends = [];
  const balances = new Map();
  const stop = watchWallets((types) => {
    for (const end of ends) end();
    balances.clear();
    if (types.length === 0) watcher(balances);
    ends = types.map((type) => watch(paths.balance(type), ({ data }) => {
      if (!data) return;
      balances.set(type, data);
      if (types.every((one) => balances.has(one))) watcher(new Map(types.map((one) => [one, balances.get(one)])));
    }));
  });
  return () => {
    stop();
    for (const end of ends) end();
  };
}
