// A line on every page while signing is stopped.

import { paths } from "./api.js";
import { announce, fill, h } from "./dom.js";
import { watch } from "./live.js";

export function startFrozen(line) {
  watch(paths.status, ({ data }) => {
    if (!data) return;
    const [first] = data.freezes;
    if (line.hidden && first) announce("Signing was stopped");
    line.hidden = !first;
    if (first) fill(line, h("b", {}, "Frozen. "), `${first.operator ?? "An operator"} at node ${first.node_id}: ${first.reason} `, h("a", { href: "#/cluster", "data-key": "frozen" }, "To the emergency stop"));
  });
}
