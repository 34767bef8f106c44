// Starts the dashboard: theme, connection, and the page that the address names.

import { paths } from "./api.js";
import { startConnection } from "./connection.js";
import { startDoor } from "./door.js";
import { watch } from "./live.js";
import { startRouter } from "./router.js";
import { startTheme } from "./theme.js";

startTheme(document.getElementById("theme"));
startDoor(document.getElementById("lock"));
startConnection();
startRouter(document.getElementById("main"));

watch(paths.status, ({ data }) => {
  if (!data) return;
  document.getElementById("identity").textContent = `node ${data.node_id} of ${data.total_nodes}`;
  const network = document.getElementById("network");
  network.textContent = data.network;
  network.dataset.money = ["bitcoin", "mainnet", "main"].includes(data.network) ? "real" : "test";
  network.hidden = false;
});
