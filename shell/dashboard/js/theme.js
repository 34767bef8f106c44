// Light, dark, or as the system has it.

const ORDER = ["system", "light", "dark"];
const system = matchMedia("(prefers-color-scheme: dark)");

function chosen() {
  try { return localStorage.getItem("theme") ?? "system"; } catch { return "system"; }
}

function remember(choice) {
  try {
    if (choice === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", choice);
  } catch { /* the choice then lasts as long as the page */ }
}

function apply(choice, button) {
  const theme = choice === "system" ? (system.matches ? "dark" : "light") : choice;
  document.documentElement.dataset.theme = theme;
  button.textContent = choice === "system" ? "Auto" : choice === "light" ? "Light" : "Dark";
  button.setAttribute("aria-label", `Theme: ${choice}. Change it`);
  button.title = `Theme: ${choice}`;
}

export function startTheme(button) {
  let choice = chosen();
  apply(choice, button);
  system.addEventListener("change", () => apply(choice, button));
  button.addEventListener("click", () => {
    choice = ORDER[(ORDER.indexOf(choice) + 1) % ORDER.length];
    remember(choice);
    apply(choice, button);
  });
}
