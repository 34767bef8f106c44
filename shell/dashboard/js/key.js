// The API key of this tab: kept as long as the tab lives, sent to this node and to nobody else.

const PLACE = "mpc-wallet-key";
const listeners = new Set();

/** The header that shows the key, if there is one. */
export function authorization() {
  const key = sessionStorage.getItem(PLACE);
  return key ? { authorization: `Bearer ${key}` } : {};
}

export function hasKey() {
  return sessionStorage.getItem(PLACE) !== null;
}

export function keepKey(key) {
  sessionStorage.setItem(PLACE, key);
}

export function forgetKey() {
  sessionStorage.removeItem(PLACE);
}

/** The node asks for a key, or refuses the one that it was shown; `detail` says which. */
export function refused(detail) {
  for (const listener of listeners) listener(detail);
}

export function onRefused(listener) {
  listeners.add(listener);
}
