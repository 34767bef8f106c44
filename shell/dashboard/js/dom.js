// Elements from plain calls. Text is always text: nothing here or elsewhere parses HTML.

const SVG = "http://www.w3.org/2000/svg";

function build(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** `h("a", { href, class }, ...children)`; functions named `on…` are listeners. */
export function h(tag, attributes, ...children) {
  return build(document.createElement(tag), attributes, children);
}

/** The same for drawings. */
export function s(tag, attributes, ...children) {
  return build(document.createElementNS(SVG, tag), attributes, children);
}

/** Puts new content into `target`. What had the focus and is there again, by its data-key, keeps it. */
export function fill(target, ...children) {
  const focused = target.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const open = [...target.querySelectorAll("details[open][data-key]")].map((details) => details.dataset.key);
  target.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  const keyed = (key) => target.querySelector(`[data-key="${CSS.escape(key)}"]`);
  for (const key of open) keyed(key)?.setAttribute("open", "");
  if (focused) keyed(focused)?.focus({ preventScroll: true });
}

let ids = 0;

/** A fresh id, to tie labels and hints to fields. */
export function id(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}

/** Says something to who cannot see it happen. */
export function announce(text) {
  const region = document.getElementById("announcer");
  if (region.textContent !== text) region.textContent = text;
}
