// Starts the dashboard: theme, connection, and the page that the address names.

import { paths } from "./api.js";
import { startConnection } from "./connection.js";
import { startDoor } from "./door.js";
import { startFrozen } from "./frozen.js";
import { watch } from "./live.js";
import { startRouter } from "./router.js";
import { startTheme } from "./theme.js";

startTheme(document.getElementById("theme"));
startDoor(document.getElementById("lock"));
startConnection();
startFrozen(document.getElementById("frozen"));
startRouter(document.getElementById("main"));

watch(paths.awaiting, ({ data }) => {
  const count = document.getElementById("awaiting");
  count.hidden = !data?.items.length;
  count.textContent = data?.items.length ?? "";
});
watch(paths.status, ({ data }) => {
  if (!data) return;
  document.getElementById("identity").textContent = `node ${data.node_id} of ${data.total_nodes}`;
  const network = document.getElementById("network");
  network.textContent = data.network;
  network.dataset.money = ["bitcoin", "mainnet", "main"].includes(data.network) ? "real" : "test";
  network.hidden = false;
});
