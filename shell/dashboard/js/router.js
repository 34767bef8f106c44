// From the address's hash to a page. A page is `{title, show(root, parameters)}`; `show` returns what ends it.

import { fill, h } from "./dom.js";
import { approvals } from "../pages/approvals.js";
import { cluster } from "../pages/cluster.js";
import { history } from "../pages/history.js";
import { overview } from "../pages/overview.js";
import { receive } from "../pages/receive.js";
import { send } from "../pages/send.js";
import { transaction } from "../pages/transaction.js";
import { violations } from "../pages/violations.js";

const PAGES = [
  [/^\/?$/, overview, "#/"],
  [/^\/receive$/, receive, "#/receive"],
  [/^\/send$/, send, "#/send"],
  [/^\/history$/, history, "#/history"],
  [/^\/tx\/([0-9a-fA-F]{64})$/, transaction, "#/history"],
  [/^\/approvals$/, approvals, "#/approvals"],
  [/^\/cluster$/, cluster, "#/cluster"],
  [/^\/violations$/, violations, "#/violations"],
];

const nowhere = {
  title: "Not found",
  show: (root) => {
    fill(root, h("h1", { tabindex: "-1" }, "There is no such page"), h("p", {}, h("a", { href: "#/" }, "To the overview")));
    return () => {};
  },
};

function find(hash) {
  const path = hash.replace(/^#/, "");
  for (const [pattern, page, place] of PAGES) {
    const found = pattern.exec(path);
    if (found) return { page, place, parameters: found.slice(1) };
  }
  return { page: nowhere, place: null, parameters: [] };
}

export function startRouter(root) {
  let end = () => {};
  const go = (first) => {
    const { page, place, parameters } = find(location.hash);
    end();
    root.replaceChildren();
    document.title = `${page.title} · MPC wallet`;
    for (const link of document.querySelectorAll(".places a")) {
      if (link.getAttribute("href") === place) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    end = page.show(root, ...parameters);
    if (!first) {
      scrollTo(0, 0);
      (root.querySelector("h1") ?? root).focus({ preventScroll: true });
    }
  };
  addEventListener("hashchange", () => go(false));
  // The hash is the router's, so the link past the head moves the focus by itself.
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    root.focus();
  });
  go(true);
}
